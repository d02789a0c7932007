import pytest

from lavseg.training.lora import LoraSettings
from lavseg.training.settings import read_settings, read_yaml


def test_settings_are_read():
    assert read_yaml("processor", None) is None
    assert read_settings("lora", None, LoraSettings) is read_settings("lora", "false", LoraSettings) is None
    assert read_settings("lora", "true", LoraSettings) == LoraSettings()
    given = '{"rank": 4, "alpha": 8, "targets": ["q_proj"]}'
    assert read_settings("lora", given, LoraSettings) == LoraSettings(4, 8, ["q_proj"])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{", "is not readable as YAML"),
        ("[1]", "takes true, or fields of LoraSettings as a mapping"),
        ("{rnak: 2}", "rnak"),
        ("{rank: 0}", "rank has to be a whole number of at least 1, got 0"),
        ("{alpha: -1}", "alpha has to be a number above 0, got -1"),
        ("{targets: 3}", "targets takes a list of names of layers, got 3"),
        ("{targets: []}", "targets takes a list of names of layers"),
    ],
)
def test_what_does_not_fit_is_named(given, told):
    with pytest.raises(ValueError, match=f"^lora.*{told}"):
        read_settings("lora", given, LoraSettings)
