"""Processors of methods that read sentences or do not, as their models' `use_text` says."""

from typing import Any

from transformers import PreTrainedConfig, PreTrainedTokenizerBase
from transformers.image_processing_utils import BaseImageProcessor

from ..backbones.vggish import VggishFeatureExtractor
from .inputs import check_text_length


class OptionalTextMixin:
    """Gives an [`AudioVisualProcessor`] a tokenizer that may be missing; without one it takes no text.

    Args:
        image_processor: frames for the host, `pixel_values`.
        feature_extractor: log-mel patches.
        tokenizer: of the text encoder.
        fps: rate at which video files are read; a patch lasts 0.96 s.
        max_text_length: tokens an expression is padded and cut to.
    """

    def __init__(
        self,
        image_processor: BaseImageProcessor,
        feature_extractor: VggishFeatureExtractor,
        tokenizer: PreTrainedTokenizerBase | None = None,
        fps: float = 1.0,
        max_text_length: int = 25,
    ):
        super().__init__(image_processor, feature_extractor, fps=fps)
        self.max_text_length = check_text_length(max_text_length)
        self.needs_text = tokenizer is not None
        self._tokenizer = tokenizer

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """Tokenizer of the text encoder, if the method reads."""
        return self._tokenizer

    @classmethod
    def from_config(
        cls, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase | None = None, max_text_length: int = 25
    ) -> "OptionalTextMixin":
        """The processor whose sizes fit a model of `config`.

        Raises:
            ValueError: when the tokenizer is missing for a model that reads text, or given for one that does not.
        """
        if config.use_text and tokenizer is None:
            raise ValueError("tokenizer: missing; a model with use_text reads sentences")
        if not config.use_text and tokenizer is not None:
            raise ValueError("tokenizer: a model with use_text=False reads no text, leave it out")
        image_processor, feature_extractor = cls._parts(config)
        return cls(image_processor, feature_extractor, tokenizer, max_text_length=max_text_length)

    @classmethod
    def _parts(cls, config: PreTrainedConfig) -> tuple[BaseImageProcessor, VggishFeatureExtractor]:
        """What prepares frames and sound for a model of `config`."""
        raise NotImplementedError

    # Transformers takes every sub-processor for obligatory; the tokenizer is not, so it is stored beside the others.

    @classmethod
    def get_attributes(cls) -> list[str]:
        return ["image_processor", "feature_extractor"]

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "needs_text": self.needs_text}

    def save_pretrained(self, save_directory: str, push_to_hub: bool = False, **kwargs) -> list[str]:
        if self._tokenizer is not None:
            self._tokenizer.save_pretrained(save_directory)
        return super().save_pretrained(save_directory, push_to_hub, **kwargs)

    @classmethod
    def _get_arguments_from_pretrained(
        cls, pretrained_model_name_or_path: str, processor_dict: dict | None = None, **kwargs
    ) -> list:
        arguments = super()._get_arguments_from_pretrained(pretrained_model_name_or_path, processor_dict, **kwargs)
        if not (processor_dict or {}).pop("needs_text", False):
            return [*arguments, None]
        return [*arguments, cls._load_tokenizer_from_pretrained("tokenizer", pretrained_model_name_or_path, **kwargs)]
