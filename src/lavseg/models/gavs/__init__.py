from .configuration_gavs import GavsConfig
from .modeling_gavs import GavsModel, GavsPreTrainedModel
from .processing_gavs import GavsProcessor

__all__ = ["GavsConfig", "GavsModel", "GavsPreTrainedModel", "GavsProcessor"]
