import logging

import pytest
from transformers import AutoConfig, AutoModel
from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from foreign_methods import importable, write_entry_points
from lavseg import auto, register_method
from lavseg.backbones.vggish import VggishConfig, VggishFeatureExtractor, VggishModel
from lavseg.models.gavs import GavsConfig, GavsModel, GavsProcessor

# A module that registers GAVS under another name.
PLUGIN = """
from lavseg import register_method
from lavseg.models.gavs import GavsConfig, GavsModel, GavsProcessor
class Config(GavsConfig):
    model_type = {0!r}
class Model(GavsModel):
    config_class = Config
register_method(Config, Model, GavsProcessor)
"""


def masks_of(config):
    """The model class that AutoModel takes where a checkpoint names no other."""
    known = AutoModel._model_mapping[config]
    return known[0] if isinstance(known, tuple) else known


def test_the_auto_classes_know_every_method():
    for config, model, processor in auto.METHODS:
        assert type(AutoConfig.for_model(config.model_type)) is config
        assert masks_of(config) is model and PROCESSOR_MAPPING[config] is processor


def test_the_auto_classes_know_the_audio_encoder():
    assert type(AutoConfig.for_model("vggish")) is VggishConfig
    assert AutoModel._model_mapping[VggishConfig] is VggishModel
    assert FEATURE_EXTRACTOR_MAPPING[VggishConfig] is VggishFeatureExtractor


def test_registering_twice_is_no_error():
    auto.register()
    auto.register()


def test_a_method_from_outside_is_known_once_its_module_is_imported(tmp_path):
    (tmp_path / "my_foreign.py").write_text(PLUGIN.format("my_foreign"))
    with importable(tmp_path):
        auto.load_plugin("my_foreign")
        auto.load_plugin("my_foreign")
        config, model, processor = auto.methods()["my-foreign"]
        assert type(AutoConfig.for_model("my_foreign")) is config and config.__module__ == "my_foreign"
        assert masks_of(config) is model and PROCESSOR_MAPPING[config] is processor
        assert [classes[0] for classes in auto.METHODS].count(config) == 1
    assert "my-foreign" not in auto.methods()


def test_entry_points_that_fail_are_named_in_a_line_each_and_the_others_work(tmp_path, caplog):
    modules = {
        "broken": "1 / 0",
        "taken": PLUGIN.format("st_bava"),
        "alike": PLUGIN.format("st-bava"),
        "of_transformers": PLUGIN.format("sam2_video"),
        "fine": PLUGIN.format("fine_method"),
    }
    for name, text in modules.items():
        (tmp_path / f"foreign_{name}.py").write_text(text)
    write_entry_points(tmp_path, {name: f"foreign_{name}" for name in ("absent", *modules)})
    with importable(tmp_path), caplog.at_level(logging.WARNING):
        auto.register()
        assert "fine-method" in auto.methods() and auto.methods()["st-bava"][0].__module__.startswith("lavseg.")
        assert AutoConfig.for_model("sam2_video").__module__.startswith("transformers.")
    of_ours = "lavseg.models.st_bava.configuration_st_bava.StBavaConfig"
    reasons = {
        "absent": "No module named 'foreign_absent'",
        "broken": "division by zero",
        "taken": f"config: model_type 'st_bava' belongs to {of_ours}, choose another",
        "alike": f"config: model_type 'st-bava' belongs to {of_ours}, choose another",
        "of_transformers": "config: model_type 'sam2_video' belongs to transformers.models.sam2_video."
        "configuration_sam2_video.Sam2VideoConfig, choose another",
    }
    expected = {f"plugin foreign_{name}: cannot be used ({reason})" for name, reason in reasons.items()}
    assert {record.getMessage() for record in caplog.records} == expected


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ((dict, GavsModel, GavsProcessor), "config: has to be a sub-class of lavseg.modeling.configuration.Audio"),
        ((GavsConfig, VggishModel, GavsProcessor), "model: has to be a sub-class of lavseg.modeling.base.AudioVisual"),
        ((GavsConfig, GavsModel, GavsProcessor.from_config), "processor: has to be a sub-class of lavseg.modeling.pro"),
        ((auto.methods()["st-bava"][0], GavsModel, GavsProcessor), "model: config_class of GavsModel has to be StBav"),
    ],
)
def test_classes_that_are_no_method_are_refused(classes, words):
    before = list(auto.METHODS)
    with pytest.raises(ValueError, match=f"^{words}"):
        register_method(*classes)
    assert before == auto.METHODS
