from .configuration_simtoken import SimTokenConfig
from .modeling_simtoken import SimTokenModel, SimTokenPreTrainedModel
from .processing_simtoken import SimTokenProcessor

__all__ = ["SimTokenConfig", "SimTokenModel", "SimTokenPreTrainedModel", "SimTokenProcessor"]
