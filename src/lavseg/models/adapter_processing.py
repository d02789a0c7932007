"""The processor that the adapter baselines share: frames for SAM or SAM2, and a tokenizer where the model reads."""

from typing import Any

from transformers import PreTrainedTokenizerBase, Sam2ImageProcessor
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_utils import PILImageResampling

from .adapter_config import AdapterConfig
from .sam_processing import SamClipProcessor
from .vggish import VggishFeatureExtractor


class AdapterClipProcessor(SamClipProcessor):
    """Prepares clips for an adapter baseline.

    Args:
        image_processor: frames for the host, `pixel_values`.
        feature_extractor: mono log-mel patches.
        tokenizer: of the text encoder; without one the processor takes no text.
        frames_per_second: rate at which video files are read; a patch lasts 0.96 s.
        max_text_length: tokens an expression is padded and cut to.
    """

    def __init__(
        self,
        image_processor: BaseImageProcessor,
        feature_extractor: VggishFeatureExtractor,
        tokenizer: PreTrainedTokenizerBase | None = None,
        frames_per_second: float = 1.0,
        max_text_length: int = 25,
    ):
        self.max_text_length = max_text_length
        self.needs_text = tokenizer is not None
        self._tokenizer = tokenizer
        super().__init__(image_processor, feature_extractor, frames_per_second)

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """Tokenizer of the text encoder, if the method reads."""
        return self._tokenizer

    @classmethod
    def from_config(
        cls, config: AdapterConfig, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> "AdapterClipProcessor":
        """The processor whose sizes fit a model of `config`.

        Raises:
            ValueError: when the tokenizer is missing for a model that reads text, or given for one that does not.
        """
        if config.use_text and tokenizer is None:
            raise ValueError("tokenizer: missing; a model with use_text reads sentences")
        if not config.use_text and tokenizer is not None:
            raise ValueError("tokenizer: a model with use_text=False reads no text, leave it out")
        extractor = VggishFeatureExtractor(min_patches=1)
        return cls(cls._frames_for(config), extractor, tokenizer, max_text_length=config.max_text_length)

    @classmethod
    def _frames_for(cls, config: AdapterConfig) -> BaseImageProcessor:
        """A square resize: bilinear for SAM, and for SAM2 bicubic as AuralSAM2's."""
        size = config.sam_config.prompt_encoder_config.image_size
        square, quarter = ({"height": edge, "width": edge} for edge in (size, size // 4))
        resample = PILImageResampling.BICUBIC if config.on_sam2 else PILImageResampling.BILINEAR
        return Sam2ImageProcessor(size=square, mask_size=quarter, resample=resample)

    # The base class takes every sub-processor for obligatory; the tokenizer is not, so it is stored beside the others.

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
