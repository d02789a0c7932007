import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.backbones.sam.convert_sam import SAM_KEYS, convert_checkpoint, read_checkpoint, rename_keys
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
from sam_reference import released_checkpoint, released_sam_keys

# One key of every kind in checkpoints of the original SAM with adapters.
PINNED = {
    "image_encoder.pos_embed": "sam.vision_encoder.pos_embed",
    "image_encoder.patch_embed.proj.weight": "sam.vision_encoder.patch_embed.projection.weight",
    "image_encoder.blocks.31.norm1.bias": "sam.vision_encoder.layers.31.layer_norm1.bias",
    "image_encoder.blocks.7.attn.rel_pos_h": "sam.vision_encoder.layers.7.attn.rel_pos_h",
    "image_encoder.blocks.7.attn.qkv.weight": "sam.vision_encoder.layers.7.attn.qkv.weight",
    "image_encoder.blocks.0.mlp.lin2.bias": "sam.vision_encoder.layers.0.mlp.lin2.bias",
    "image_encoder.neck.0.weight": "sam.vision_encoder.neck.conv1.weight",
    "image_encoder.neck.1.bias": "sam.vision_encoder.neck.layer_norm1.bias",
    "image_encoder.neck.2.weight": "sam.vision_encoder.neck.conv2.weight",
    "image_encoder.neck.3.weight": "sam.vision_encoder.neck.layer_norm2.weight",
    "image_encoder.prompt_generator.shared_mlp.weight": "adapters.shared.weight",
    "image_encoder.prompt_generator.lightweight_mlp_31.0.bias": "adapters.audio_layers.31.bias",
    "pe_layer.positional_encoding_gaussian_matrix": "sam.shared_image_embedding.positional_embedding",
    "prompt_encoder.point_embeddings.3.weight": "sam.prompt_encoder.point_embed.3.weight",
    "prompt_encoder.not_a_point_embed.weight": "sam.prompt_encoder.not_a_point_embed.weight",
    "prompt_encoder.no_mask_embed.weight": "sam.prompt_encoder.no_mask_embed.weight",
    "prompt_encoder.mask_downscaling.0.weight": "sam.prompt_encoder.mask_embed.conv1.weight",
    "prompt_encoder.mask_downscaling.1.bias": "sam.prompt_encoder.mask_embed.layer_norm1.bias",
    "prompt_encoder.mask_downscaling.3.weight": "sam.prompt_encoder.mask_embed.conv2.weight",
    "prompt_encoder.mask_downscaling.4.weight": "sam.prompt_encoder.mask_embed.layer_norm2.weight",
    "prompt_encoder.mask_downscaling.6.bias": "sam.prompt_encoder.mask_embed.conv3.bias",
    "mask_decoder.iou_token.weight": "sam.mask_decoder.iou_token.weight",
    "mask_decoder.mask_tokens.weight": "sam.mask_decoder.mask_tokens.weight",
    "mask_decoder.transformer.layers.1.norm4.weight": "sam.mask_decoder.transformer.layers.1.layer_norm4.weight",
    "mask_decoder.transformer.layers.0.self_attn.k_proj.bias": (
        "sam.mask_decoder.transformer.layers.0.self_attn.k_proj.bias"
    ),
    "mask_decoder.transformer.layers.0.cross_attn_image_to_token.out_proj.weight": (
        "sam.mask_decoder.transformer.layers.0.cross_attn_image_to_token.out_proj.weight"
    ),
    "mask_decoder.transformer.layers.0.mlp.lin1.weight": "sam.mask_decoder.transformer.layers.0.mlp.lin1.weight",
    "mask_decoder.transformer.final_attn_token_to_image.q_proj.weight": (
        "sam.mask_decoder.transformer.final_attn_token_to_image.q_proj.weight"
    ),
    "mask_decoder.transformer.norm_final_attn.bias": "sam.mask_decoder.transformer.layer_norm_final_attn.bias",
    "mask_decoder.output_upscaling.0.weight": "sam.mask_decoder.upscale_conv1.weight",
    "mask_decoder.output_upscaling.1.weight": "sam.mask_decoder.upscale_layer_norm.weight",
    "mask_decoder.output_upscaling.3.bias": "sam.mask_decoder.upscale_conv2.bias",
    "mask_decoder.output_hypernetworks_mlps.2.layers.0.weight": (
        "sam.mask_decoder.output_hypernetworks_mlps.2.proj_in.weight"
    ),
    "mask_decoder.output_hypernetworks_mlps.2.layers.1.weight": (
        "sam.mask_decoder.output_hypernetworks_mlps.2.layers.0.weight"
    ),
    "mask_decoder.output_hypernetworks_mlps.2.layers.2.bias": (
        "sam.mask_decoder.output_hypernetworks_mlps.2.proj_out.bias"
    ),
    "mask_decoder.iou_prediction_head.layers.2.weight": "sam.mask_decoder.iou_prediction_head.proj_out.weight",
}


def convert(state, folder, **options):
    """Convert what the original SAM and the adapters hold; the encoders of sound and of prompts are blank."""
    build, blank = lambda: SamaAvsModel(tiny_config(SamaAvsConfig)), ("audio_encoder.", "sam.prompt_encoder.")
    options = {"blank": lambda name: name.startswith(blank), **options}
    return convert_checkpoint(build, state, SAM_KEYS, SamaAvsProcessor, folder, **options)


@pytest.fixture(scope="module")
def state():
    return released_checkpoint(SamaAvsModel(tiny_config(SamaAvsConfig)), released_sam_keys(blocks=3), SAM_KEYS)


def test_every_kind_of_key_has_its_place():
    assert rename_keys(PINNED, SAM_KEYS) == PINNED


def test_keys_of_something_else_have_none():
    keys = ["layers.0.other.weight", "image_encoder.blocks.0.norm3.weight", "module.pe_layer.x", "optimizer"]
    assert set(rename_keys(keys, SAM_KEYS).values()) == {None}


def test_the_first_rule_that_fits_wins():
    rules = [(r"a\.b\.", "first."), (r"a\.", "second.")]
    assert rename_keys(["a.b.x", "a.c", "b.a.c"], rules) == {"a.b.x": "first.x", "a.c": "second.c", "b.a.c": None}


def test_half_precision_is_read_as_single(tmp_path):
    torch.save({"model": {"a": torch.ones(2, dtype=torch.float16)}}, tmp_path / "half.pth")
    (value,) = read_checkpoint(tmp_path / "half.pth", "checkpoint_path").values()
    assert value.dtype == torch.float32 and value.tolist() == [1, 1]


def test_the_position_code_has_two_places_and_what_is_blank_becomes_zero(state, tmp_path):
    model, unused = convert({**state, "extra": torch.ones(2)}, tmp_path / "out", unused=frozenset({"extra", "absent"}))
    assert unused == ["extra"]
    code = state["pe_layer.positional_encoding_gaussian_matrix"]
    assert torch.equal(model.sam.shared_image_embedding.positional_embedding, code)
    assert torch.equal(model.sam.prompt_encoder.shared_embedding.positional_embedding, code)
    assert not any(value.any() for value in model.audio_encoder.state_dict().values())
    loaded = SamaAvsModel.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())


def test_what_is_not_blank_has_to_be_there(state, tmp_path):
    with pytest.raises(ValueError, match=r"not a checkpoint for this SamaAvsModel; missing keys: audio_encoder\."):
        convert(state, tmp_path / "out", blank=lambda name: name.startswith("sam.prompt_encoder."))
    assert not (tmp_path / "out").exists()
