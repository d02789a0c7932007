from .configuration_vggish import VggishConfig
from .feature_extraction_vggish import VggishFeatureExtractor
from .modeling_vggish import VggishModel, VggishOutput, load_vggish

__all__ = ["VggishConfig", "VggishFeatureExtractor", "VggishModel", "VggishOutput", "load_vggish"]
