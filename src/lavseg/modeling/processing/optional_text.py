"""Processors of methods that may read sentences or not."""

from os import PathLike
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase, SequenceFeatureExtractor
from transformers.image_processing_utils import BaseImageProcessor

from ..configuration import OptionalTextConfig
from ..inputs import check_text
from .audio_visual import check_tokenizer
from .call_arguments import check_text_length

# Where a checkpoint is looked for.
_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")


class OptionalTextMixin:
    """Gives an [`AudioVisualProcessor`] a tokenizer that may be missing; without one it takes no text.

    Args:
        image_processor: makes `pixel_values` from frames.
        feature_extractor: makes log-mel patches from sound.
        tokenizer: the text encoder's; None for a model that reads no text.
        fps: frames per second at which video files are read; a patch lasts 0.96 s.
        max_text_length: tokens an expression is padded and cut to.
    """

    def __init__(
        self,
        image_processor: BaseImageProcessor,
        feature_extractor: SequenceFeatureExtractor,
        tokenizer: PreTrainedTokenizerBase | None = None,
        fps: float = 1.0,
        max_text_length: int = 25,
    ):
        super().__init__(image_processor, feature_extractor, fps=fps)
        if tokenizer is not None:
            check_tokenizer(tokenizer)
        self.max_text_length = check_text_length(max_text_length)
        self.needs_text = tokenizer is not None
        self._tokenizer = tokenizer

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """Tokenizer of the text encoder; None for a method that reads no text."""
        return self._tokenizer

    @classmethod
    def from_config(
        cls, config: OptionalTextConfig, tokenizer: PreTrainedTokenizerBase | None = None, max_text_length: int = 25
    ) -> "OptionalTextMixin":
        """The processor whose sizes fit a model of `config`.

        Raises:
            ValueError: when the tokenizer is missing for a model that reads text, or given for one that does not.
        """
        if config.use_text and tokenizer is None:
            raise ValueError("tokenizer: missing; a model with use_text reads sentences")
        if not config.use_text:
            check_text("tokenizer", "a model with use_text=False", tokenizer, reads=False)
        image_processor, feature_extractor = cls._parts(config)
        return cls(image_processor, feature_extractor, tokenizer, max_text_length=max_text_length)

    @classmethod
    def _parts(cls, config: PreTrainedConfig) -> tuple[BaseImageProcessor, SequenceFeatureExtractor]:
        """What prepares frames and sound for a model of `config`."""
        raise NotImplementedError

    # Transformers takes every sub-processor for obligatory; the tokenizer is not, so it is stored beside the others.

    @classmethod
    def get_attributes(cls) -> list[str]:
        return ["image_processor", "feature_extractor"]

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "needs_text": self.needs_text}

    def decode(self, *args: Any, **kwargs: Any) -> str:
        """As in Transformers.

        Raises:
            ValueError: without a tokenizer.
        """
        self._check_tokenizer()
        return super().decode(*args, **kwargs)

    def batch_decode(self, *args: Any, **kwargs: Any) -> list[str]:
        """As in Transformers.

        Raises:
            ValueError: without a tokenizer.
        """
        self._check_tokenizer()
        return super().batch_decode(*args, **kwargs)

    def _check_tokenizer(self) -> None:
        if self._tokenizer is None:
            raise ValueError(f"tokenizer: this {type(self).__name__} has none, its method reads no text")

    def to_json_file(self, json_file_path: str | PathLike) -> None:
        """As in Transformers, with the tokenizer's files beside it."""
        # Not earlier in `save_pretrained`, which uploads what was written after it had looked at the folder.
        if self._tokenizer is not None:
            self._tokenizer.save_pretrained(Path(json_file_path).parent)
        super().to_json_file(json_file_path)

    @classmethod
    def get_processor_dict(cls, name_or_path: str, **kwargs) -> tuple[dict[str, Any], dict[str, Any]]:
        """As in Transformers, with the tokenizer where the checkpoint has one."""
        fields, rest = super().get_processor_dict(name_or_path, **kwargs)
        if fields.pop("needs_text", False):
            where = {name: value for name, value in kwargs.items() if name in _HUB_OPTIONS}
            fields["tokenizer"] = AutoTokenizer.from_pretrained(name_or_path, **where)
        return fields, rest
