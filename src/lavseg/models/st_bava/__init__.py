from .configuration_st_bava import StBavaConfig
from .modeling_st_bava import StBavaModel, StBavaOutput
from .processing_st_bava import StBavaProcessor

__all__ = ["StBavaConfig", "StBavaModel", "StBavaOutput", "StBavaProcessor"]
