from .configuration_aural_sam2 import AuralSam2Config
from .modeling_aural_sam2 import AuralSam2Model, AuralSam2Output, AuralSam2PreTrainedModel
from .processing_aural_sam2 import AuralSam2Processor
from .semantic_aural_sam2 import AuralSam2ForSemanticSegmentation

__all__ = [
    "AuralSam2Config",
    "AuralSam2ForSemanticSegmentation",
    "AuralSam2Model",
    "AuralSam2Output",
    "AuralSam2PreTrainedModel",
    "AuralSam2Processor",
]
