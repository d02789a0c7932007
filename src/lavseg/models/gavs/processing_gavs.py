"""Processor of GAVS."""

from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, SamConfig, SamImageProcessor
from transformers.image_processing_utils import BaseImageProcessor

from ...backbones.adapted_sam.processing_adapted_sam import AdapterClipProcessor
from ...backbones.vggish import VggishFeatureExtractor
from .configuration_gavs import GavsConfig


class GavsProcessor(AdapterClipProcessor):
    """Prepares clips for [`GavsModel`]. With a `SamImageProcessor` frames keep their aspect ratio and are padded, and
    `reshaped_input_sizes [B, T, 2]` says to which height and width below the padding.

    Args:
        image_processor, feature_extractor, tokenizer, fps, max_text_length: see [`OptionalTextMixin`].
        bgr_frames: hand out frames as BGR under RGB statistics, as released.

    ```python
    processor = GavsProcessor.from_config(GavsConfig())
    inputs = processor("clip.mp4")
    ```
    """

    def __init__(
        self,
        image_processor: BaseImageProcessor,
        feature_extractor: VggishFeatureExtractor,
        tokenizer: PreTrainedTokenizerBase | None = None,
        fps: float = 1.0,
        max_text_length: int = 25,
        bgr_frames: bool = False,
    ):
        self.bgr_frames = bgr_frames
        super().__init__(image_processor, feature_extractor, tokenizer, fps, max_text_length)

    @classmethod
    def from_config(
        cls,
        config: GavsConfig,
        tokenizer: PreTrainedTokenizerBase | None = None,
        max_text_length: int = 25,
        bgr_frames: bool = False,
        pad_frames: bool | None = None,
    ) -> "GavsProcessor":
        """The processor whose sizes fit a model of `config`.

        Args:
            config: configuration of the model.
            tokenizer, max_text_length: see [`OptionalTextMixin`].
            bgr_frames: hand out frames as BGR under RGB statistics, as released.
            pad_frames: SAM only: keep the frames' aspect ratio and pad them to a square, as released, in place of a
                square resize. None does what the host takes, True on SAM and False on SAM2.

        Raises:
            ValueError: when the tokenizer does not fit the model, or frames are to be padded for SAM2.
        """
        pads = isinstance(config.sam_config, SamConfig)
        if pad_frames and not pads:
            raise ValueError("pad_frames: what the release does on SAM; SAM2 takes squares, leave it out")
        processor = super().from_config(config, tokenizer, max_text_length)
        processor.bgr_frames = bgr_frames
        if pads if pad_frames is None else pad_frames:
            size = config.sam_config.prompt_encoder_config.image_size
            square = {"height": size, "width": size}
            processor.image_processor = SamImageProcessor(size={"longest_edge": size}, pad_size=square)
        return processor

    @property
    def pad_frames(self) -> bool:
        """Whether frames keep their aspect ratio and are padded."""
        return isinstance(self.image_processor, SamImageProcessor)

    @property
    def input_size(self) -> tuple[int, int]:
        if self.pad_frames:
            return self.image_processor.pad_size["height"], self.image_processor.pad_size["width"]
        return super().input_size

    @property
    def image_input_names(self) -> tuple[str, ...]:
        return ("pixel_values", "reshaped_input_sizes") if self.pad_frames else ("pixel_values",)

    def image_inputs(self, frames: list[torch.Tensor], **images_kwargs: Any) -> dict[str, torch.Tensor]:
        frames = [frame.flip(0) for frame in frames] if self.bgr_frames else frames
        prepared = self.image_processor(frames, return_tensors="pt", **images_kwargs)
        return {name: prepared[name] for name in self.image_input_names}


__all__ = ["GavsProcessor"]
