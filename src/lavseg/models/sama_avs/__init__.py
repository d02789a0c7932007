from .configuration_sama_avs import SamaAvsConfig
from .modeling_sama_avs import SamaAvsModel, SamaAvsPreTrainedModel
from .processing_sama_avs import SamaAvsProcessor

__all__ = ["SamaAvsConfig", "SamaAvsModel", "SamaAvsPreTrainedModel", "SamaAvsProcessor"]
