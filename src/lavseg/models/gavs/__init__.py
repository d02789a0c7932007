from .configuration_gavs import GavsConfig
from .modeling_gavs import GavsModel
from .processing_gavs import GavsProcessor

__all__ = ["GavsConfig", "GavsModel", "GavsProcessor"]
