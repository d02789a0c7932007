"""Processor of AVSegFormer."""

from transformers.image_processing_utils import BaseImageProcessor

from ...backbones.sam2.processing_sam2 import square_image_processor
from ...backbones.vggish import VggishFeatureExtractor
from ...backbones.vggish.processing_vggish import SoundPerFrameProcessor
from ...modeling.processing import OptionalTextMixin, SemanticMixin
from .configuration_avsegformer import AvsegFormerConfig


class AvsegFormerProcessor(OptionalTextMixin, SemanticMixin, SoundPerFrameProcessor):
    """Prepares clips for [`AvsegFormerModel`]: frames resized to a square, and one second of sound for each frame.

    ```python
    processor = AvsegFormerProcessor.from_config(AvsegFormerConfig())
    inputs = processor("clip.mp4")
    ```
    """

    @classmethod
    def _parts(cls, config: AvsegFormerConfig) -> tuple[BaseImageProcessor, VggishFeatureExtractor]:
        return square_image_processor(config.frame_size), VggishFeatureExtractor(min_patches=1)


__all__ = ["AvsegFormerProcessor"]
