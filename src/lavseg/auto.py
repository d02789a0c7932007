"""The one place that ties configurations, models and processors to Transformers' Auto classes."""

from importlib import import_module
from importlib.metadata import entry_points

from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForSemanticSegmentation,
    AutoProcessor,
    PreTrainedConfig,
)
from transformers.utils import logging

from .backbones.vggish import VggishConfig, VggishFeatureExtractor, VggishModel
from .error_reasons import reason_of
from .modeling.base import AudioVisualPreTrainedModel
from .modeling.configuration import AudioVisualConfig
from .modeling.processing import AudioVisualProcessor
from .models.aural_sam2 import (
    AuralSam2Config,
    AuralSam2ForSemanticSegmentation,
    AuralSam2Model,
    AuralSam2Processor,
)
from .models.avsegformer import (
    AvsegFormerConfig,
    AvsegFormerForSemanticSegmentation,
    AvsegFormerModel,
    AvsegFormerProcessor,
)
from .models.eemc import EemcConfig, EemcModel, EemcProcessor
from .models.gavs import GavsConfig, GavsModel, GavsProcessor
from .models.referformer import ReferFormerConfig, ReferFormerModel, ReferFormerProcessor
from .models.sam2_love import Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor
from .models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
from .models.simtoken import SimTokenConfig, SimTokenModel, SimTokenProcessor
from .models.st_bava import StBavaConfig, StBavaModel, StBavaProcessor
from .models.stepping_stones import (
    SteppingStonesConfig,
    SteppingStonesForSemanticSegmentation,
    SteppingStonesModel,
    SteppingStonesProcessor,
)
from .models.tpavi import TpaviConfig, TpaviForSemanticSegmentation, TpaviModel, TpaviProcessor

# Entry points of other packages: each names a module that calls `register_method` when it is imported.
ENTRY_POINTS = "lavseg.methods"

# Of this package first, then those from outside.
METHODS = [
    (AuralSam2Config, AuralSam2Model, AuralSam2Processor),
    (EemcConfig, EemcModel, EemcProcessor),
    (GavsConfig, GavsModel, GavsProcessor),
    (Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor),
    (SamaAvsConfig, SamaAvsModel, SamaAvsProcessor),
    (SimTokenConfig, SimTokenModel, SimTokenProcessor),
    (StBavaConfig, StBavaModel, StBavaProcessor),
    (TpaviConfig, TpaviModel, TpaviProcessor),
    (AvsegFormerConfig, AvsegFormerModel, AvsegFormerProcessor),
    (SteppingStonesConfig, SteppingStonesModel, SteppingStonesProcessor),
    (ReferFormerConfig, ReferFormerModel, ReferFormerProcessor),
]

# Architectures that methods have beside the model of masks: those that name classes.
CLASS_ARCHITECTURES = {
    AuralSam2Config: AuralSam2ForSemanticSegmentation,
    AvsegFormerConfig: AvsegFormerForSemanticSegmentation,
    SteppingStonesConfig: SteppingStonesForSemanticSegmentation,
    TpaviConfig: TpaviForSemanticSegmentation,
}

logger = logging.get_logger(__name__)


class PluginError(ValueError):
    """A module with methods from outside cannot be used. The message names it and the reason."""


def method_name(name: str) -> str:
    """The name of a method as commands write it, such as `sam2-love`, from either spelling, `sam2_love` too."""
    return name.replace("_", "-")


def methods() -> dict[str, tuple[type, type, type]]:
    """Configuration, model and processor of every method that is known by now, by its name in commands."""
    return {method_name(classes[0].model_type): classes for classes in METHODS}


def architectures(config: type[PreTrainedConfig]) -> dict[str, type[AudioVisualPreTrainedModel]]:
    """Model classes of a method by name, the one for masks first; none of a method that is not registered."""
    found = [model for known, model, _ in METHODS if known is config]
    found += [CLASS_ARCHITECTURES[config]] if config in CLASS_ARCHITECTURES else []
    return {model.__name__: model for model in found}


def register() -> None:
    """Make `AutoConfig`, `AutoModel`, `AutoProcessor` and `AutoFeatureExtractor` know this package's architectures, and
    those of installed packages with an entry point; one that cannot be used is named in a warning."""
    AutoConfig.register(VggishConfig.model_type, VggishConfig, exist_ok=True)
    AutoModel.register(VggishConfig, VggishModel, exist_ok=True)
    AutoFeatureExtractor.register(VggishConfig, VggishFeatureExtractor, exist_ok=True)
    for classes in METHODS:
        _tell_transformers(*classes)
    for entry_point in entry_points(group=ENTRY_POINTS):
        try:
            load_plugin(entry_point.module)
        except PluginError as error:
            logger.warning(str(error))


def register_method(
    config: type[AudioVisualConfig], model: type[AudioVisualPreTrainedModel], processor: type[AudioVisualProcessor]
) -> None:
    """Make a method from outside this package known to its commands and to the Auto classes.

    Args:
        config, model, processor: its classes. The method is called after `config.model_type`.

    Raises:
        ValueError: when one of them is no sub-class of the base here, `model` is of another configuration, or another
            architecture has this `model_type`. Nothing is registered then.
    """
    bases = {"config": AudioVisualConfig, "model": AudioVisualPreTrainedModel, "processor": AudioVisualProcessor}
    for (name, base), given in zip(bases.items(), (config, model, processor), strict=True):
        if not (isinstance(given, type) and issubclass(given, base)):
            raise ValueError(f"{name}: has to be a sub-class of {base.__module__}.{base.__name__}, got {given!r}")
    if model.config_class is not config:
        raise ValueError(f"model: config_class of {model.__name__} has to be {config.__name__}")
    classes = (config, model, processor)
    if classes in METHODS:
        return
    if holder := _holder(config.model_type):
        raise ValueError(f"config: model_type {config.model_type!r} belongs to {holder}, choose another")
    METHODS.append(classes)
    _tell_transformers(*classes)


def load_plugin(module: str) -> None:
    """Import a module that registers methods.

    Raises:
        PluginError: when that fails, for whatever reason.
    """
    try:
        import_module(module)
    except Exception as error:
        raise PluginError(f"plugin {module}: cannot be used ({reason_of(error)})") from error


def _holder(model_type: str) -> str | None:
    """The configuration that has a `model_type`, or one that commands could not tell from it."""
    names = [known for known in CONFIG_MAPPING if method_name(known) == method_name(model_type)]
    return f"{CONFIG_MAPPING[names[0]].__module__}.{CONFIG_MAPPING[names[0]].__name__}" if names else None


def _tell_transformers(
    config: type[PreTrainedConfig], model: type[AudioVisualPreTrainedModel], processor: type[AudioVisualProcessor]
) -> None:
    AutoConfig.register(config.model_type, config, exist_ok=True)
    if config in CLASS_ARCHITECTURES:
        # Of a tuple, AutoModel takes the one that a checkpoint's `architectures` names.
        AutoModel.register(config, (model, CLASS_ARCHITECTURES[config]), exist_ok=True)
        AutoModelForSemanticSegmentation.register(config, CLASS_ARCHITECTURES[config], exist_ok=True)
    else:
        AutoModel.register(config, model, exist_ok=True)
    AutoProcessor.register(config, processor, exist_ok=True)
