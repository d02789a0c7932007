from .configuration_stepping_stones import SteppingStonesConfig
from .modeling_stepping_stones import SteppingStonesModel, SteppingStonesPreTrainedModel
from .outputs_stepping_stones import SteppingStonesOutput, SteppingStonesSemanticOutput
from .processing_stepping_stones import SteppingStonesProcessor
from .semantic_stepping_stones import SteppingStonesForSemanticSegmentation

__all__ = [
    "SteppingStonesConfig",
    "SteppingStonesForSemanticSegmentation",
    "SteppingStonesModel",
    "SteppingStonesOutput",
    "SteppingStonesPreTrainedModel",
    "SteppingStonesProcessor",
    "SteppingStonesSemanticOutput",
]
