import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.backbones.pyramids.configuration_pyramids import resnet50_config
from lavseg.models.tpavi import TpaviConfig, TpaviForSemanticSegmentation, TpaviModel


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"audio_stages": (2, 1)}, r"^audio_stages: takes some of 1, 2, 3, 4 in this order, got \(2, 1\)"),
        ({"audio_stages": (0,)}, "^audio_stages"),
        ({"audio_stages": (), "use_text": True}, "^use_text: words come in where sound does"),
        ({"frame_size": 100}, "^frame_size: has to be a multiple of 32, got 100"),
        ({"frames_per_group": 0}, "^frames_per_group"),
        ({"attend_to_audio": False}, "^attend_to_audio"),
        ({"use_text": True, "num_attention_heads": 5}, "^num_attention_heads: 5 was given"),
    ],
)
def test_what_makes_no_model_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        tiny_config(TpaviConfig, **fields)


@pytest.mark.parametrize(
    ("kind", "fields", "count"),
    [
        (TpaviModel, {}, 101_320_577),
        (TpaviForSemanticSegmentation, {"num_labels": 71, "audio_projection_bias": False}, 101_321_863),
    ],
)
def test_parameters_are_those_of_the_release(kind, fields, count):
    """But for VGGish, which is not in the released count, and a unit of 1,180,160 that never runs."""
    with torch.device("meta"):
        model = kind(TpaviConfig(**fields))
    found = sum(parameter.numel() for parameter in model.parameters())
    assert found - sum(parameter.numel() for parameter in model.audio_encoder.parameters()) == count - 1_180_160


def test_on_resnet_the_second_branch_is_not_there():
    with torch.device("meta"):
        model = TpaviModel(TpaviConfig(vision_config=resnet50_config()))
    found = sum(parameter.numel() for parameter in model.parameters())
    found -= sum(parameter.numel() for parameter in model.audio_encoder.parameters())
    assert found == 91_400_961 - 1_180_160 - (45_571_136 - 23_508_032)
