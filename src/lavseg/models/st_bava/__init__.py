from .configuration_st_bava import StBavaConfig
from .modeling_st_bava import StBavaModel, StBavaOutput, StBavaPreTrainedModel
from .processing_st_bava import StBavaProcessor

__all__ = ["StBavaConfig", "StBavaModel", "StBavaOutput", "StBavaPreTrainedModel", "StBavaProcessor"]
