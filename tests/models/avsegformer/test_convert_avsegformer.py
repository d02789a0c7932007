import json
from functools import partial

import pytest
import torch
from tiny.configurations import tiny_config

from avsegformer_reference import UNUSED, released_file
from conftest import golden_files
from lavseg.backbones.sam.convert_sam import rename_keys
from lavseg.models.avsegformer import (
    AvsegFormerConfig,
    AvsegFormerForSemanticSegmentation,
    AvsegFormerModel,
    AvsegFormerProcessor,
    convert_avsegformer,
)
from lavseg.models.avsegformer.convert_avsegformer import (
    AVSEGFORMER_KEYS,
    convert_avsegformer_checkpoint,
    released_config,
    released_model,
    split_released,
)

TINY = tiny_config(AvsegFormerConfig)


@pytest.fixture
def tiny_sizes(monkeypatch):
    monkeypatch.setattr(convert_avsegformer, "AvsegFormerConfig", partial(tiny_config, AvsegFormerConfig))
    monkeypatch.setattr(convert_avsegformer, "pvt_v2_b5_config", lambda: TINY.vision_config)


def saved(state, folder):
    torch.save(state, folder / "model.pth")
    return folder / "model.pth"


@pytest.mark.parametrize(
    ("model_class", "labels", "size"),
    [(AvsegFormerModel, 2, 512), (AvsegFormerForSemanticSegmentation, 71, 224)],
    ids=["masks", "classes"],
)
def test_a_released_file_becomes_the_model_that_it_is_of(tiny_sizes, tmp_path, model_class, labels, size):
    source = model_class(tiny_config(AvsegFormerConfig, num_labels=labels))
    model, unused = convert_avsegformer_checkpoint(saved(released_file(source), tmp_path), tmp_path / "out")
    assert type(model) is model_class and unused == sorted(UNUSED)
    assert AvsegFormerProcessor.from_pretrained(tmp_path / "out").image_processor.size["height"] == size
    loaded = model_class.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in source.state_dict().items())


def test_the_size_of_frames_can_be_chosen(tiny_sizes, tmp_path):
    path = saved(released_file(AvsegFormerModel(TINY)), tmp_path)
    model, _ = convert_avsegformer_checkpoint(path, tmp_path / "out", frame_size=224)
    assert model.config.frame_size == 224


def test_what_does_not_fit_is_named_and_leaves_nothing(tiny_sizes, tmp_path):
    state = released_file(AvsegFormerModel(TINY))
    without = {key: value for key, value in state.items() if key != "head.lateral_conv.0.bias"}
    for changed, words in (
        (without, "missing keys: pixel_decoder.lateral.0.bias"),
        ({**state, "head.other.weight": torch.zeros(1)}, "unexpected keys: head.other.weight"),
        ({**state, "head.level_embed": torch.zeros(4, 64)}, r"wrong shapes: pixel_decoder.level_embed is \[4, 64\]"),
        (
            {key: value for key, value in state.items() if "query_generator" not in key},
            "files from before 14 August 2023 belong to another model",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            convert_avsegformer_checkpoint(saved(changed, tmp_path), tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.parity
@pytest.mark.parametrize("file", golden_files("avsegformer/keys_*.json"))
def test_the_keys_of_the_released_models_fill_the_whole_model(file):
    unused = ("head.fpn.", "head.attn_fc.", "backbone.layer3_2.", "backbone.layer4_2.")
    shapes = {key: shape for key, shape in json.loads(file.read_text()).items() if not key.startswith(unused)}
    with torch.device("meta"):
        state = split_released({key: torch.empty(shape) for key, shape in shapes.items()})
        expected = released_model(released_config(state)).state_dict()
    names = rename_keys(state, AVSEGFORMER_KEYS)
    assert {name: state[key].shape for key, name in names.items()} == {k: v.shape for k, v in expected.items()}
