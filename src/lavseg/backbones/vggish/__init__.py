from .configuration_vggish import VggishConfig
from .feature_extraction_vggish import VggishFeatureExtractor
from .modeling_vggish import VggishModel

__all__ = ["VggishConfig", "VggishFeatureExtractor", "VggishModel"]
