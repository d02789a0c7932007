from .configuration_referformer import ReferFormerConfig
from .modeling_referformer import ReferFormerModel, ReferFormerOutput, ReferFormerPreTrainedModel
from .processing_referformer import ReferFormerProcessor

__all__ = [
    "ReferFormerConfig",
    "ReferFormerModel",
    "ReferFormerOutput",
    "ReferFormerPreTrainedModel",
    "ReferFormerProcessor",
]
