from .configuration_eemc import EemcConfig
from .modeling_eemc import EemcModel, EemcPreTrainedModel
from .processing_eemc import EemcProcessor

__all__ = ["EemcConfig", "EemcModel", "EemcPreTrainedModel", "EemcProcessor"]
