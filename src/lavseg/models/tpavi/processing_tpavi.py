"""Processor of TPAVI."""

from transformers.image_processing_utils import BaseImageProcessor

from ...backbones.sam2.processing_sam2 import square_image_processor
from ...backbones.vggish import VggishFeatureExtractor
from ...backbones.vggish.processing_vggish import SoundPerFrameProcessor
from ...modeling.processing import OptionalTextMixin, SemanticMixin
from .configuration_tpavi import TpaviConfig


class TpaviProcessor(OptionalTextMixin, SemanticMixin, SoundPerFrameProcessor):
    """Prepares clips for [`TpaviModel`]: frames resized to a square, and one second of sound for each frame.

    SAM2's image processor does to frames what the release does: no padding, and ImageNet's statistics.

    ```python
    processor = TpaviProcessor.from_config(TpaviConfig())
    inputs = processor("clip.mp4")
    ```
    """

    @classmethod
    def _parts(cls, config: TpaviConfig) -> tuple[BaseImageProcessor, VggishFeatureExtractor]:
        return square_image_processor(config.frame_size), VggishFeatureExtractor(min_patches=1)


__all__ = ["TpaviProcessor"]
