import json
from pathlib import Path

import pytest
import torch
from tiny.configurations import tiny_config

from conftest import golden_files
from lavseg.backbones.sam.convert_sam import rename_keys
from lavseg.modeling.conversion import split_in_proj
from lavseg.models.st_bava import StBavaConfig, StBavaModel, StBavaProcessor
from lavseg.models.st_bava.convert_st_bava import ST_BAVA_KEYS, UNUSED_KEYS, convert_st_bava_checkpoint
from sam_reference import both, released_checkpoint, released_sam_keys, with_joined_projections

# One key of every kind in the released checkpoints that the original SAM with adapters does not have.
PINNED = {
    "audio_embed_layer.weight": "audio_projection.weight",
    "layers.4.embed_audio.lin1.weight": "fusion.layers.4.audio.mlp_in.lin1.weight",
    "layers.4.embed_audio2.lin2.bias": "fusion.layers.4.audio.mlp_out.lin2.bias",
    "layers.4.embed_vis.lin1.weight": "fusion.layers.4.vision.mlp_in.lin1.weight",
    "layers.4.embed_av.lin2.weight": "fusion.layers.4.vision.mlp_out.lin2.weight",
    "layers.0.norm1.weight": "fusion.layers.0.audio.norm_in.weight",
    "layers.0.norm2.weight": "fusion.layers.0.vision.norm_in.weight",
    "layers.0.norm3_1.weight": "fusion.layers.0.audio.norm_temporal.weight",
    "layers.0.norm3_2.weight": "fusion.layers.0.audio.norm_spatial.weight",
    "layers.0.norm4.weight": "fusion.layers.0.audio.norm_out.weight",
    "layers.0.norm5_1.weight": "fusion.layers.0.vision.norm_temporal.weight",
    "layers.0.norm5_2.weight": "fusion.layers.0.vision.norm_spatial.weight",
    "layers.0.norm6.bias": "fusion.layers.0.vision.norm_out.bias",
    "layers.2.avt_attention.in_proj_weight": "fusion.layers.2.temporal.0.in_proj_weight",
    "layers.2.avt_attention.out_proj.bias": "fusion.layers.2.temporal.0.out_proj.bias",
    "layers.2.avs_attention.in_proj_bias": "fusion.layers.2.spatial.0.in_proj_bias",
    "layers.2.avs_attention.out_proj.weight": "fusion.layers.2.spatial.0.out_proj.weight",
}


def test_every_kind_of_key_has_its_place():
    assert rename_keys(PINNED, ST_BAVA_KEYS) == PINNED


@pytest.mark.parity
@pytest.mark.parametrize("file", golden_files("st_bava/keys_vith_*.json"))
def test_the_keys_of_the_released_models_fill_the_whole_model(file):
    shapes = {key: tuple(shape) for key, shape in json.loads(file.read_text()).items() if key not in UNUSED_KEYS}
    layers = 1 + max(int(key.split(".")[1]) for key in shapes if key.startswith("layers."))
    with torch.device("meta"):
        model = StBavaModel(StBavaConfig(num_fusion_layers=layers))
    parameters = with_joined_projections(dict(model.named_parameters()))
    expected = {key: tuple(p.shape) for key, p in parameters.items() if not key.startswith("audio_encoder.")}
    names = rename_keys(shapes, ST_BAVA_KEYS)
    assert len(set(names.values())) == len(names)
    assert {name: shapes[key] for key, name in names.items()} == expected


CONFIG = tiny_config(StBavaConfig)
PROMPT_ENCODER = [
    *(f"point_embeddings.{index}.weight" for index in range(4)),
    "not_a_point_embed.weight",
    "no_mask_embed.weight",
    *both(*(f"mask_downscaling.{index}" for index in (0, 1, 3, 4, 6))),
]
MLPS = ("embed_vis", "embed_audio", "embed_audio2", "embed_av")
NORMS = ("1", "2", "3_1", "3_2", "4", "5_1", "5_2", "6")
BLOCK = [
    *both(*(f"{mlp}.lin{index}" for mlp in MLPS for index in (1, 2)), *(f"norm{name}" for name in NORMS)),
    *(
        f"{attention}.{part}"
        for attention in ("avt_attention", "avs_attention")
        for part in ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
    ),
]
KEYS = [
    *released_sam_keys(blocks=3),
    *(f"prompt_encoder.{key}" for key in PROMPT_ENCODER),
    *both("audio_embed_layer"),
    *(f"layers.{index}.{key}" for index in range(2) for key in BLOCK),
]


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """The two files that the released code loads, for the tiny model."""
    folder, model = tmp_path_factory.mktemp("released"), StBavaModel(CONFIG)
    state = released_checkpoint(model, KEYS, ST_BAVA_KEYS)
    state |= {key: torch.randn(2, 16) for key in UNUSED_KEYS}
    vggish = {key: torch.randn_like(value) for key, value in model.audio_encoder.state_dict().items()}
    torch.save(vggish, folder / "vggish.pth")
    return state, vggish, folder / "vggish.pth"


def test_every_tensor_lands_in_its_place(released, tmp_path):
    state, vggish, vggish_path = released
    torch.save(state, tmp_path / "best.pth")
    returned, unused = convert_st_bava_checkpoint(tmp_path / "best.pth", vggish_path, tmp_path / "new" / "out", CONFIG)
    assert unused == sorted(UNUSED_KEYS)
    model = StBavaModel.from_pretrained(tmp_path / "new" / "out")
    loaded = model.state_dict()
    names = rename_keys(state.keys() - UNUSED_KEYS, ST_BAVA_KEYS)
    expected = split_in_proj({name: state[key] for key, name in names.items()})
    expected |= {f"audio_encoder.{key}": value for key, value in vggish.items()}
    code = expected["sam.shared_image_embedding.positional_embedding"]
    expected["sam.prompt_encoder.shared_embedding.positional_embedding"] = code
    assert loaded.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(loaded[name], value), name
        assert torch.equal(returned.state_dict()[name], value), name
    trainable = {name for name, parameter in StBavaModel(CONFIG).named_parameters() if parameter.requires_grad}
    for converted in (model, returned):
        assert {name for name, p in converted.named_parameters() if p.requires_grad} == trainable
    processor = StBavaProcessor.from_pretrained(tmp_path / "new" / "out")
    assert processor.image_processor.size["height"] == 128
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


def test_without_the_unused_copy_of_the_position_code(released, tmp_path):
    state, _, vggish_path = released
    torch.save({key: value for key, value in state.items() if key not in UNUSED_KEYS}, tmp_path / "best.pth")
    _, unused = convert_st_bava_checkpoint(tmp_path / "best.pth", vggish_path, tmp_path / "out", CONFIG)
    assert unused == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers.1.norm6.bias": None}, "missing keys: fusion.layers.1.vision.norm_out.bias"),
        ({"layers.1.norm7.bias": torch.zeros(32)}, "unexpected keys: layers.1.norm7.bias"),
        ({"layers.2.norm6.bias": torch.zeros(32)}, "unexpected keys: layers.2.norm6.bias"),
        (
            {"audio_embed_layer.weight": torch.zeros(32, 31)},
            r"wrong shapes: audio_projection.weight is \[32, 31\] instead of \[32, 32\]",
        ),
        ({"note": Path("code")}, "checkpoint_path: .*not a PyTorch file of plain tensors"),
        ({"epoch": 3}, "checkpoint_path: .*does not hold a state dict"),
    ],
    ids=["missing", "unexpected", "block", "shape", "code", "number"],
)
def test_nothing_is_written_when_the_checkpoint_does_not_fit(released, tmp_path, change, message):
    state, _, vggish_path = released
    changed = {key: value for key, value in {**state, **change}.items() if value is not None}
    torch.save(changed, tmp_path / "best.pth")
    with pytest.raises(ValueError, match=message):
        convert_st_bava_checkpoint(tmp_path / "best.pth", vggish_path, tmp_path / "out", CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["best.pth"]


def test_a_file_of_another_host_is_named_at_once(released, tmp_path):
    state, _, vggish_path = released
    torch.save(state, tmp_path / "best.pth")
    with pytest.raises(ValueError, match=r"missing keys: .*wrong shapes: .*sam.vision_encoder.pos_embed"):
        convert_st_bava_checkpoint(tmp_path / "best.pth", vggish_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("argument", ["checkpoint_path", "vggish_path"])
def test_absent_files_are_named(released, tmp_path, argument):
    torch.save(released[0], tmp_path / "best.pth")
    paths = {"checkpoint_path": tmp_path / "best.pth", "vggish_path": released[2], argument: tmp_path / "absent.pth"}
    with pytest.raises(ValueError, match=f"{argument}: there is no file"):
        convert_st_bava_checkpoint(output_dir=tmp_path / "out", config=CONFIG, **paths)


def test_a_folder_with_content_is_left_alone(released, tmp_path):
    torch.save(released[0], tmp_path / "best.pth")
    with pytest.raises(ValueError, match="give a new or an empty folder"):
        convert_st_bava_checkpoint(tmp_path / "best.pth", released[2], tmp_path, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["best.pth"]


def test_a_file_that_is_no_vggish_is_named(released, tmp_path):
    torch.save(released[0], tmp_path / "best.pth")
    with pytest.raises(ValueError, match=r"vggish_path: .*best\.pth is no VGGish"):
        convert_st_bava_checkpoint(tmp_path / "best.pth", tmp_path / "best.pth", tmp_path / "out", CONFIG)
    assert not (tmp_path / "out").exists()
