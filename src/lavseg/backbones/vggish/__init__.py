from .configuration_vggish import VggishConfig, without_relu
from .feature_extraction_vggish import VggishFeatureExtractor
from .modeling_vggish import VggishModel, VggishOutput, load_vggish

__all__ = ["VggishConfig", "VggishFeatureExtractor", "VggishModel", "VggishOutput", "load_vggish", "without_relu"]
