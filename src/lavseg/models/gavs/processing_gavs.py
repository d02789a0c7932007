"""Processor of GAVS."""

import torch
from transformers import PreTrainedTokenizerBase, SamImageProcessor
from transformers.image_processing_utils import BaseImageProcessor

from ...backbones.adapted_sam.processing_adapted_sam import AdapterClipProcessor
from ...backbones.vggish import VggishFeatureExtractor
from .configuration_gavs import GavsConfig


class GavsProcessor(AdapterClipProcessor):
    """Prepares clips for [`GavsModel`]. With a `SamImageProcessor` frames keep their aspect ratio and are padded.

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
    def from_config(cls, config: GavsConfig, tokenizer: PreTrainedTokenizerBase | None = None) -> "GavsProcessor":
        processor = super().from_config(config, tokenizer)
        processor.bgr_frames = config.bgr_frames
        return processor

    @classmethod
    def _parts(cls, config: GavsConfig) -> tuple[BaseImageProcessor, VggishFeatureExtractor]:
        image_processor, feature_extractor = super()._parts(config)
        if config.pad_frames:
            size = config.sam_config.prompt_encoder_config.image_size
            image_processor = SamImageProcessor(size={"longest_edge": size}, pad_size={"height": size, "width": size})
        return image_processor, feature_extractor

    @property
    def input_size(self) -> tuple[int, int]:
        if isinstance(self.image_processor, SamImageProcessor):
            return self.image_processor.pad_size["height"], self.image_processor.pad_size["width"]
        return super().input_size

    def image_inputs(self, frames: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        return super().image_inputs([frame.flip(0) for frame in frames] if self.bgr_frames else frames)


__all__ = ["GavsProcessor"]
