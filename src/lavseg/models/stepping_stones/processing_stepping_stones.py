"""Processor of Stepping-Stones."""

import torch

from ...backbones.mask2former.processing_mask2former import PilSquaresMixin
from ...backbones.sam2.processing_sam2 import square_image_processor
from ...backbones.vggish import VggishFeatureExtractor
from ...backbones.vggish.processing_vggish import SoundPerFrameProcessor
from ...modeling.outputs import AudioVisualSegmentationOutput
from ...modeling.processing import SemanticMixin
from .configuration_stepping_stones import SteppingStonesConfig
from .outputs_stepping_stones import class_scores


class SteppingStonesProcessor(PilSquaresMixin, SemanticMixin, SoundPerFrameProcessor):
    """Prepares clips for [`SteppingStonesModel`]: frames resized to a square, and one second of sound for each frame.

    ```python
    processor = SteppingStonesProcessor.from_config(SteppingStonesConfig())
    inputs = processor("clip.mp4")
    ```
    """

    @classmethod
    def from_config(cls, config: SteppingStonesConfig) -> "SteppingStonesProcessor":
        """The processor whose sizes fit a model of `config`."""
        return cls(square_image_processor(config.frame_size), VggishFeatureExtractor(min_patches=1))

    def class_maps(self, outputs: AudioVisualSegmentationOutput, clip: int, frame: int) -> torch.Tensor:
        """As the base class says: sums over queries, which at the size of the square would be 42 MB for each frame of a
        clip."""
        if outputs.get("class_queries_logits") is None:
            return super().class_maps(outputs, clip, frame)
        named, masks = outputs.class_queries_logits[clip, :, frame], outputs.masks_queries_logits[clip, :, frame]
        return class_scores(named, masks, self.image_processor.size["height"])


__all__ = ["SteppingStonesProcessor"]
