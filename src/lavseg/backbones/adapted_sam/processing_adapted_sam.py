"""The processor that the adapter baselines share: frames for SAM or SAM2, and a tokenizer where the model reads."""

from transformers import SamConfig
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_utils import PILImageResampling

from ...modeling.processing import OptionalTextMixin
from ..sam.processing_sam import SamClipProcessor
from ..sam2.processing_sam2 import square_image_processor
from ..sam2.prompted_processing import UserPromptsMixin
from ..vggish import VggishFeatureExtractor
from .configuration_adapted_sam import AdapterConfig


class AdapterClipProcessor(UserPromptsMixin, OptionalTextMixin, SamClipProcessor):
    """Prepares clips for an adapter baseline: bilinear squares for SAM, and for SAM2 bicubic ones as AuralSAM2's.
    A user's prompts are for models on SAM2.

    ```python
    processor = AdapterClipProcessor.from_config(SamaAvsConfig())
    inputs = processor("clip.mp4")
    ```
    """

    @classmethod
    def _parts(cls, config: AdapterConfig) -> tuple[BaseImageProcessor, VggishFeatureExtractor]:
        size = config.sam_config.prompt_encoder_config.image_size
        sam = isinstance(config.sam_config, SamConfig)
        resample = PILImageResampling.BILINEAR if sam else PILImageResampling.BICUBIC
        return square_image_processor(size, resample), VggishFeatureExtractor(min_patches=1)


__all__ = ["AdapterClipProcessor"]
