"""The processor that the methods on SAM share."""

import torch
from transformers import PreTrainedConfig

from ..sam2.processing_sam2 import square_image_processor
from ..vggish import VggishFeatureExtractor
from ..vggish.processing_vggish import SoundPerFrameProcessor


class SamClipProcessor(SoundPerFrameProcessor):
    """Prepares clips for a method on SAM: frames resized to a square, and one second of sound for each frame.

    SAM's stock image processor keeps the aspect ratio and pads; the methods were trained on plain squares. SAM2's is
    that: the same statistics and interpolation, without padding.

    ```python
    processor = SamClipProcessor.from_config(StBavaConfig())
    inputs = processor("clip.mp4")
    ```

    Args:
        image_processor: makes `pixel_values` from frames.
        feature_extractor: makes log-mel patches from mono sound.
        fps: frames per second at which video files are read; a patch lasts 0.96 s.
    """

    @classmethod
    def from_config(cls, config: PreTrainedConfig) -> "SamClipProcessor":
        """The processor whose sizes fit a model of `config`."""
        size = config.sam_config.vision_config.image_size
        return cls(square_image_processor(size), VggishFeatureExtractor(min_patches=1))

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of `pixel_values`."""
        return self.image_processor.size["height"], self.image_processor.size["width"]

    def _resize(self, logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """As the base class, by way of SAM's input size as in the releases."""
        return super()._resize(super()._resize(logits, self.input_size), size)


__all__ = ["SamClipProcessor"]
