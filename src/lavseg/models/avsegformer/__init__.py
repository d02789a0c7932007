from .configuration_avsegformer import AvsegFormerConfig
from .modeling_avsegformer import AvsegFormerModel, AvsegFormerPreTrainedModel
from .processing_avsegformer import AvsegFormerProcessor
from .semantic_avsegformer import AvsegFormerForSemanticSegmentation, AvsegFormerSemanticOutput

__all__ = [
    "AvsegFormerConfig",
    "AvsegFormerForSemanticSegmentation",
    "AvsegFormerModel",
    "AvsegFormerPreTrainedModel",
    "AvsegFormerProcessor",
    "AvsegFormerSemanticOutput",
]
