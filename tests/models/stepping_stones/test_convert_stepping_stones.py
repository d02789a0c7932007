import pytest
import torch
from tiny.configurations import tiny_config
from transformers import AutoModel

from lavseg.models.stepping_stones import (
    SteppingStonesConfig,
    SteppingStonesForSemanticSegmentation,
    SteppingStonesModel,
    convert_stepping_stones,
)
from lavseg.models.stepping_stones.convert_stepping_stones import convert_stepping_stones_checkpoint, current_name
from published_files import stepping_stones_state, tiny_stepping_stones, vggish_file

DECODERS = ("pixel_level_module.decoder.encoder.layers.0.self_attn.output_proj",)
DECODERS += tuple(f"transformer_module.decoder.layers.{layer}.self_attn.out_proj" for layer in (0, 1))
REPLACED = [f"model.model.{name}.{kind}" for name in DECODERS for kind in ("bias", "weight")]


@pytest.fixture(autouse=True)
def tiny_sizes(monkeypatch):
    monkeypatch.setattr(convert_stepping_stones, "SteppingStonesConfig", tiny_stepping_stones)


@pytest.fixture
def convert(tmp_path):
    """Converts a state dict of the released code."""
    vggish, _ = vggish_file(tmp_path)

    def run(state, **options):
        torch.save(state, tmp_path / "released.pth")
        return convert_stepping_stones_checkpoint(tmp_path / "released.pth", vggish, tmp_path / "out", **options)

    return run


def released(model_class=SteppingStonesModel, **fields):
    """A file, with the projections that stand in each of them."""
    return stepping_stones_state(model_class(tiny_config(SteppingStonesConfig, **fields, adapter_place="after")))


@pytest.mark.parametrize(
    ("model_class", "labels", "place", "unused"),
    [
        (SteppingStonesModel, 2, "instead", REPLACED),
        (SteppingStonesForSemanticSegmentation, 6, "after", []),
    ],
)
def test_a_file_becomes_the_stage_that_it_is_of(convert, tmp_path, model_class, labels, place, unused):
    state = released(model_class, num_labels=labels)
    model, left = convert(state)
    assert left == sorted([*unused, "model.criterion.empty_weight"])
    loaded = AutoModel.from_pretrained(tmp_path / "out")
    assert type(loaded) is type(model) is model_class
    assert loaded.config.adapter_place == place and loaded.config.notice is None
    tensors = loaded.state_dict()
    for key in state.keys() - set(left):
        assert torch.equal(tensors[current_name(key, loaded.config)], state[key]), key


def test_where_adapters_stand_can_be_asked_for(convert):
    model, left = convert(released(), adapter_place="after")
    assert model.config.adapter_place == "after" and left == ["model.criterion.empty_weight"]


def test_adapters_that_the_file_lacks_do_nothing_and_are_named(convert):
    state = released()
    without = {key: value for key, value in state.items() if "swin_adapt" not in key}
    model, _ = convert(without)
    assert not model.config.encoder_adapters
    assert model.config.notice == "the released file lacks all adapters in the image encoder, which do nothing here"


def test_single_adapters_that_the_file_lacks_are_zero(convert, tmp_path):
    state = released()
    lacking = [key for key in state if "blocks.0.output.swin_adapt_3" in key and ".layers.1." in key]
    assert len(lacking) == 4
    model, _ = convert({key: value for key, value in state.items() if key not in lacking})
    assert model.config.notice.startswith("the released file lacks 4 tensors of adapters")
    stages = AutoModel.from_pretrained(tmp_path / "out").mask2former.stages
    assert not any(parameter.any() for parameter in stages[1].blocks[0].mlp.fc2.adapter.parameters())
    assert all(parameter.any() for parameter in stages[2].blocks[0].mlp.fc2.adapter.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio_proj.0.bias": None}, "missing keys: audio_projection.0.bias"),
        ({f"model.model.{DECODERS[0]}.other": torch.zeros(2)}, "unexpected keys: mask2former.model.pixel_level"),
        ({"audio_proj.2.bias": torch.zeros(2)}, r"audio_projection.2.bias is \[2\] instead of"),
        ({"model.class_predictor.bias": torch.full((3,), torch.nan)}, "class_predictor.bias holds NaN"),
    ],
)
def test_nothing_is_written_where_the_file_does_not_fit(convert, tmp_path, change, message):
    state = released() | change
    with pytest.raises(ValueError, match=message):
        convert({key: value for key, value in state.items() if value is not None})
    assert not (tmp_path / "out").exists()
