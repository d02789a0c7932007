import pytest
import torch
from transformers import AutoModel

from lavseg.models.tpavi import TpaviForSemanticSegmentation, TpaviModel
from lavseg.models.tpavi.convert_tpavi import TPAVI_KEYS, convert_tpavi_checkpoint, released_config
from published_files import tpavi_config, tpavi_files


@pytest.mark.parametrize("kind", [TpaviModel, TpaviForSemanticSegmentation])
def test_a_released_file_becomes_a_folder(kind, tmp_path):
    classes = {"num_labels": 6, "audio_projection_bias": False} if kind.names_classes else {}
    config = tpavi_config(architectures=[kind.__name__], **classes)
    expected = kind(config)
    tpavi_files(expected, tmp_path)
    out = tmp_path / "out"
    model, unused = convert_tpavi_checkpoint(tmp_path / "model.pth", tmp_path / "vggish.pth", out, config)
    assert unused == ["path4.resConfUnit1.conv1.bias", "resnet.layer3_2.0.conv1.weight"]
    loaded = AutoModel.from_pretrained(out)
    assert type(loaded) is type(model) is kind
    for name, value in expected.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("conv1.conv2d_list.2.bias"), "missing keys: stages.0.convolutions.2.bias"),
        (lambda state: state.update({"head.bias": torch.zeros(1)}), "unexpected keys: head.bias"),
        (lambda state: state.update({"output_conv.4.bias": torch.zeros(3)}), r"decoder.conv3.bias is \[3\]"),
        (lambda state: state.update({"conv1.conv2d_list.2.bias": torch.full((32,), torch.nan)}), "NaN"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_written(change, message, tmp_path):
    config = tpavi_config()
    state = tpavi_files(TpaviModel(config), tmp_path)
    change(state)
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(ValueError, match=message):
        convert_tpavi_checkpoint(tmp_path / "model.pth", tmp_path / "vggish.pth", tmp_path / "out", config)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match=r"^vggish_path: .* is no VGGish"):
        convert_tpavi_checkpoint(tmp_path / "model.pth", tmp_path / "model.pth", tmp_path / "out", config)


def test_keys_tell_the_variant():
    one, bias = torch.zeros(1), torch.zeros(71)
    classes = {"output_conv.4.bias": bias, "tpavi_b2.theta.weight": one, "encoder_backbone.norm1.bias": one}
    config = released_config(classes)
    assert config.num_labels == 71 and config.architectures == ["TpaviForSemanticSegmentation"]
    assert config.audio_stages == (2,) and not config.audio_projection_bias
    assert config.vision_config.model_type == "pvt_v2" and config.vision_config.depths == [3, 6, 40, 3]
    masks = {"output_conv.4.bias": one, "tpavi_b1.theta.weight": one, "tpavi_b1.align_channel.bias": one}
    config = released_config({**masks, "resnet.conv1.weight": one})
    assert config.architectures == ["TpaviModel"] and config.audio_projection_bias
    assert config.vision_config.model_type == "resnet"


def test_the_first_rule_that_fits_is_the_only_one():
    assert len({pattern for pattern, _ in TPAVI_KEYS}) == len(TPAVI_KEYS)
