import json

import pytest
import torch
from tiny.configurations import tiny_config

from conftest import golden_files
from lavseg.backbones.sam.convert_sam import rename_keys
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
from lavseg.models.sama_avs.convert_sama_avs import SAMA_AVS_KEYS, convert_sama_avs_checkpoint
from sam_reference import released_checkpoint, released_sam_keys

# What the published files call otherwise than the original SAM.
PINNED = {
    "audio_encoder.audio_backbone.features.13.weight": "audio_encoder.features.13.weight",
    "audio_encoder.audio_backbone.embeddings.4.bias": "audio_encoder.embeddings.4.bias",
    "no_mask_embed.weight": "sam.prompt_encoder.no_mask_embed.weight",
    "pe_layer.positional_encoding_gaussian_matrix": "sam.shared_image_embedding.positional_embedding",
    "image_encoder.prompt_generator.shared_mlp.bias": "adapters.shared.bias",
    "image_encoder.prompt_generator.lightweight_mlp_0.0.weight": "adapters.audio_layers.0.weight",
}
CONFIG = tiny_config(SamaAvsConfig)
UNUSED_PARTS = ("point_embed", "mask_embed", "not_a_point_embed")


def is_unused(name):
    return name.startswith(tuple(f"sam.prompt_encoder.{part}" for part in UNUSED_PARTS))


def test_every_kind_of_key_has_its_place():
    assert rename_keys(PINNED, SAMA_AVS_KEYS) == PINNED


@pytest.mark.parity
@pytest.mark.parametrize("file", golden_files("sama_avs/keys_vith.json"))
def test_the_keys_of_the_published_files_fill_all_that_is_used(file):
    shapes = {key: tuple(shape) for key, shape in json.loads(file.read_text()).items()}
    with torch.device("meta"):
        model = SamaAvsModel(SamaAvsConfig())
    expected = {name: tuple(p.shape) for name, p in model.named_parameters() if not is_unused(name)}
    names = rename_keys(shapes, SAMA_AVS_KEYS)
    assert len(set(names.values())) == len(names)
    assert {name: shapes[key] for key, name in names.items()} == expected


@pytest.fixture(scope="module")
def state():
    model = SamaAvsModel(CONFIG)
    vggish = [f"audio_encoder.audio_backbone.{key}" for key in model.audio_encoder.state_dict()]
    keys = [*released_sam_keys(blocks=3), "no_mask_embed.weight", *vggish]
    return released_checkpoint(model, keys, SAMA_AVS_KEYS)


def test_every_tensor_lands_in_its_place(state, tmp_path):
    torch.save(state, tmp_path / "best.pth")
    convert_sama_avs_checkpoint(tmp_path / "best.pth", tmp_path / "out", CONFIG)
    model = SamaAvsModel.from_pretrained(tmp_path / "out")
    loaded = model.state_dict()
    for key, name in rename_keys(state, SAMA_AVS_KEYS).items():
        assert torch.equal(loaded.pop(name), state[key]), name
    code = state["pe_layer.positional_encoding_gaussian_matrix"]
    assert torch.equal(loaded.pop("sam.prompt_encoder.shared_embedding.positional_embedding"), code)
    assert all(is_unused(name) and not value.any() for name, value in loaded.items())
    assert SamaAvsProcessor.from_pretrained(tmp_path / "out").image_processor.size["height"] == 128
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pth", "out"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"no_mask_embed.weight": None}, "missing keys: sam.prompt_encoder.no_mask_embed.weight"),
        ({"pe_layer.positional_encoding_gaussian_matrix": None}, "missing keys: .*sam.shared_image_embedding"),
        ({"extra.weight": torch.zeros(3)}, "unexpected keys: extra.weight"),
        ({"no_mask_embed.weight": torch.zeros(1, 31)}, r"wrong shapes: .*no_mask_embed.weight is \[1, 31\]"),
        ({"epoch": 3}, "checkpoint_path: .*does not hold a state dict"),
    ],
    ids=["missing", "code", "unexpected", "shape", "number"],
)
def test_nothing_is_written_when_the_checkpoint_does_not_fit(state, tmp_path, change, message):
    changed = {key: value for key, value in {**state, **change}.items() if value is not None}
    torch.save(changed, tmp_path / "best.pth")
    with pytest.raises(ValueError, match=message):
        convert_sama_avs_checkpoint(tmp_path / "best.pth", tmp_path / "out", CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["best.pth"]
