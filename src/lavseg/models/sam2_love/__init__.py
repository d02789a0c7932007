from .configuration_sam2_love import Sam2LoveConfig
from .modeling_sam2_love import Sam2LoveModel, Sam2LovePreTrainedModel
from .processing_sam2_love import Sam2LoveProcessor

__all__ = ["Sam2LoveConfig", "Sam2LoveModel", "Sam2LovePreTrainedModel", "Sam2LoveProcessor"]
