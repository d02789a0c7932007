"""Processor of AuralSAM2."""

from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_utils import PILImageResampling

from ...backbones.sam2.processing_sam2 import square_image_processor
from ...backbones.sam2.prompted_processing import UserPromptsMixin
from ...backbones.vggish import VggishFeatureExtractor
from ...modeling.processing import AudioVisualProcessor, OptionalTextMixin, SemanticMixin
from .configuration_aural_sam2 import AuralSam2Config

# Clips with fewer patches of sound repeat the last one up to this number, as the released front end does.
MIN_PATCHES = 5


class AuralSam2Processor(UserPromptsMixin, OptionalTextMixin, SemanticMixin, AudioVisualProcessor):
    """Prepares clips for [`AuralSam2Model`]: a square resize of the frames, and left and right of the sound apart; mono
    is doubled.

    ```python
    processor = AuralSam2Processor.from_config(AuralSam2Config(use_text=False))
    inputs = processor("clip.mp4")
    ```
    """

    @classmethod
    def _parts(cls, config: AuralSam2Config) -> tuple[BaseImageProcessor, VggishFeatureExtractor]:
        frames = square_image_processor(config.sam2_config.image_size, PILImageResampling.BICUBIC)
        return frames, VggishFeatureExtractor(num_channels=2, min_patches=MIN_PATCHES)

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of `pixel_values`."""
        return self.image_processor.size["height"], self.image_processor.size["width"]


__all__ = ["AuralSam2Processor"]
