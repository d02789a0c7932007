from transformers import AutoConfig, AutoModel
from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from lavseg import auto
from lavseg.backbones.vggish import VggishConfig, VggishFeatureExtractor, VggishModel


def test_the_auto_classes_know_every_method():
    for config, model, processor in auto.METHODS:
        assert type(AutoConfig.for_model(config.model_type)) is config
        assert AutoModel._model_mapping[config] is model and PROCESSOR_MAPPING[config] is processor


def test_the_auto_classes_know_the_audio_encoder():
    assert type(AutoConfig.for_model("vggish")) is VggishConfig
    assert AutoModel._model_mapping[VggishConfig] is VggishModel
    assert FEATURE_EXTRACTOR_MAPPING[VggishConfig] is VggishFeatureExtractor


def test_registering_twice_is_no_error():
    auto.register()
    auto.register()
