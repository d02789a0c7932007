from .configuration_tpavi import TpaviConfig
from .modeling_tpavi import TpaviModel, TpaviOutput, TpaviPreTrainedModel
from .processing_tpavi import TpaviProcessor
from .semantic_tpavi import TpaviForSemanticSegmentation

__all__ = [
    "TpaviConfig",
    "TpaviForSemanticSegmentation",
    "TpaviModel",
    "TpaviOutput",
    "TpaviPreTrainedModel",
    "TpaviProcessor",
]
