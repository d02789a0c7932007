"""The one place that ties configurations, models and processors to Transformers' Auto classes."""

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor

from .backbones.vggish import VggishConfig, VggishFeatureExtractor, VggishModel
from .models.aural_sam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from .models.gavs import GavsConfig, GavsModel, GavsProcessor
from .models.sam2_love import Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor
from .models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
from .models.st_bava import StBavaConfig, StBavaModel, StBavaProcessor

METHODS = [
    (AuralSam2Config, AuralSam2Model, AuralSam2Processor),
    (GavsConfig, GavsModel, GavsProcessor),
    (Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor),
    (SamaAvsConfig, SamaAvsModel, SamaAvsProcessor),
    (StBavaConfig, StBavaModel, StBavaProcessor),
]


def method_name(name: str) -> str:
    """The name of a method as commands write it, such as `sam2-love`, from either spelling, `sam2_love` too."""
    return name.replace("_", "-")


def register() -> None:
    """Make `AutoConfig`, `AutoModel`, `AutoProcessor` and `AutoFeatureExtractor` know this package's architectures."""
    AutoConfig.register(VggishConfig.model_type, VggishConfig, exist_ok=True)
    AutoModel.register(VggishConfig, VggishModel, exist_ok=True)
    AutoFeatureExtractor.register(VggishConfig, VggishFeatureExtractor, exist_ok=True)
    for config, model, processor in METHODS:
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModel.register(config, model, exist_ok=True)
        AutoProcessor.register(config, processor, exist_ok=True)
