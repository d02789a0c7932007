import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.models.eemc import EemcConfig, EemcModel, EemcProcessor
from lavseg.models.eemc.convert_eemc import convert_eemc_checkpoint, current_name
from published_files import eemc_file

HOST = "mask2former.model.pixel_level_module."
# One key of every kind that has another name here.
PINNED = {
    "model_v.class_predictor.weight": "mask2former.class_predictor.weight",
    "model_v.model.transformer_module.queries_features.weight": (
        "mask2former.model.transformer_module.queries_features.weight"
    ),
    "model_v.model.transformer_module.ref_avs_attn.beta_source_pool": "query_attention.beta_source_pool",
    "model_v.model.pixel_level_module.decoder.encoder.layers.3.self_attn.avs_adapt.2.bias": (
        f"{HOST}decoder.encoder.layers.3.self_attn.adapter.2.bias"
    ),
    "model_v.model.pixel_level_module.encoder.embeddings.norm.weight": f"{HOST}encoder.swin.embeddings.norm.weight",
    "model_v.model.pixel_level_module.encoder.hidden_states_norms.stage1.bias": (
        f"{HOST}encoder.hidden_states_norms.stage1.bias"
    ),
    "model_v.model.pixel_level_module.encoder.encoder.layers.2.blocks.5.attention.self.key.weight": (
        f"{HOST}encoder.swin.encoder.layers.2.blocks.5.attention.k_proj.weight"
    ),
    "model_v.model.pixel_level_module.encoder.encoder.layers.2.blocks.5.attention.output.dense.bias": (
        f"{HOST}encoder.swin.encoder.layers.2.blocks.5.attention.o_proj.bias"
    ),
    "model_v.model.pixel_level_module.encoder.encoder.layers.2.blocks.5.intermediate.dense.bias": (
        f"{HOST}encoder.swin.encoder.layers.2.blocks.5.mlp.fc1.bias"
    ),
    "model_v.model.pixel_level_module.encoder.encoder.layers.2.blocks.5.output.dense.bias": (
        f"{HOST}encoder.swin.encoder.layers.2.blocks.5.mlp.fc2.bias"
    ),
    "audio_proj.0.weight": "fusion.audio_proj.0.weight",
    "mha_A_T.in_proj_weight": "fusion.audio_text.in_proj_weight",
    "mha_V_T.out_proj.weight": "fusion.image_text.out_proj.weight",
    "mha_mm.in_proj_bias": "fusion.integration.in_proj_bias",
}


@pytest.fixture
def files(tmp_path, tokenizer):
    """The released file, and how its conversion is called."""
    path, options = eemc_file(tmp_path)
    options = dict(zip(options[::2], options[1::2], strict=True))
    arguments = {
        "vggish_path": options["--vggish"],
        "text": options["--text"],
        "config": tiny_config(EemcConfig, len(tokenizer)),
    }
    return path, {**arguments, "checkpoint_path": path, "output_dir": tmp_path / "new" / "out"}


def test_every_kind_of_key_has_its_place():
    assert {key: current_name(key) for key in PINNED} == PINNED


def test_every_tensor_lands_in_its_place(files):
    path, arguments = files
    state = torch.load(path, weights_only=True)
    returned, unused = convert_eemc_checkpoint(**arguments)
    assert unused == ["model_v.criterion.empty_weight"]
    model = EemcModel.from_pretrained(arguments["output_dir"])
    for converted in (model, returned):
        tensors = converted.state_dict()
        for key in state.keys() - set(unused):
            assert torch.equal(tensors[current_name(key)], state[key]), key
        vggish = torch.load(arguments["vggish_path"], weights_only=True)
        assert all(torch.equal(tensors[f"audio_encoder.{key}"], value) for key, value in vggish.items())
    assert EemcProcessor.from_pretrained(arguments["output_dir"]).max_text_length == 25


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio_proj.0.bias": None}, "missing keys: fusion.audio_proj.0.bias"),
        ({"audio_proj.4.bias": torch.zeros(2)}, "unexpected keys: fusion.audio_proj.4.bias"),
        ({"mha_mm.in_proj_bias": torch.zeros(2)}, r"fusion.integration.in_proj_bias is \[2\] instead of"),
        ({"model_v.class_predictor.bias": torch.full((3,), torch.nan)}, "class_predictor.bias holds NaN"),
    ],
)
def test_nothing_is_written_when_the_checkpoint_does_not_fit(files, change, message):
    path, arguments = files
    state = torch.load(path, weights_only=True) | change
    torch.save({key: value for key, value in state.items() if value is not None}, path)
    with pytest.raises(ValueError, match=message):
        convert_eemc_checkpoint(**arguments)
    assert not arguments["output_dir"].parent.exists()


def test_a_file_that_is_no_vggish_is_named(files):
    path, arguments = files
    with pytest.raises(ValueError, match=r"vggish_path: .* is no VGGish"):
        convert_eemc_checkpoint(**{**arguments, "vggish_path": path})
