import pytest
from tiny.configurations import tiny_config

from lavseg.backbones.vggish import VggishConfig, without_relu


def test_tiny_takes_overrides():
    config = tiny_config(VggishConfig, embedding_size=24, postprocess=True)
    assert (config.embedding_size, config.hidden_size, config.postprocess) == (24, 64, True)


def test_round_trip(tmp_path):
    config = tiny_config(VggishConfig, final_relu=False, postprocess=True)
    config.save_pretrained(tmp_path)
    reloaded = VggishConfig.from_pretrained(tmp_path)
    assert list(reloaded.conv_channels) == list(config.conv_channels)
    assert reloaded.to_diff_dict() | {"conv_channels": ()} == config.to_diff_dict() | {"conv_channels": ()}


def test_impossible_sizes_are_rejected():
    for name, value in (
        ("conv_channels", (64, 128)),
        ("conv_channels", (64, 128, 256, 256, 512, 0)),
        ("hidden_size", 0),
        ("embedding_size", -1),
    ):
        with pytest.raises(ValueError, match=name):
            VggishConfig(**{name: value})


def test_the_final_relu_is_left_out_unless_it_is_asked_for():
    whole = tiny_config(VggishConfig)
    assert without_relu(whole) is whole
    assert without_relu(None) == {"final_relu": False}
    assert without_relu({"final_relu": True, "postprocess": True}) == {"final_relu": True, "postprocess": True}
