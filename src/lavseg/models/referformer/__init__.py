from .base_referformer import ReferFormerPreTrainedModel
from .configuration_referformer import ReferFormerConfig
from .modeling_referformer import ReferFormerModel, ReferFormerOutput
from .processing_referformer import ReferFormerProcessor

__all__ = [
    "ReferFormerConfig",
    "ReferFormerModel",
    "ReferFormerOutput",
    "ReferFormerPreTrainedModel",
    "ReferFormerProcessor",
]
