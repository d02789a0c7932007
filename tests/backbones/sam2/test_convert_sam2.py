import json

import pytest
import torch
from tiny.configurations import nano_sam2_config
from transformers import Sam2VideoModel

from conftest import golden_files
from lavseg.backbones.sam2.configuration_sam2 import hiera_sam2_config
from lavseg.backbones.sam2.convert_sam2 import read_sam2, sam2_config_of, sam2_state_from_original
from lavseg.backbones.sam2.modeling_sam2 import Sam2Backbone
from sam2_reference import numbered, original_sam2

SAM2_NAMES = {
    "maskmem_tpos_enc": "memory_temporal_positional_encoding",
    "no_obj_ptr": "no_object_pointer",
    "no_mem_embed": "no_memory_embedding",
    "no_mem_pos_enc": "no_memory_positional_encoding",
    "no_obj_embed_spatial": "occlusion_spatial_embedding_parameter",
    "obj_ptr_tpos_proj.weight": "temporal_positional_encoding_projection_layer.weight",
    "obj_ptr_proj.layers.0.weight": "object_pointer_proj.proj_in.weight",
    "obj_ptr_proj.layers.1.weight": "object_pointer_proj.layers.0.weight",
    "obj_ptr_proj.layers.2.bias": "object_pointer_proj.proj_out.bias",
    "image_encoder.trunk.patch_embed.proj.weight": "vision_encoder.backbone.patch_embed.projection.weight",
    "image_encoder.trunk.blocks.1.mlp.layers.1.bias": "vision_encoder.backbone.blocks.1.mlp.proj_out.bias",
    "image_encoder.trunk.blocks.1.norm2.bias": "vision_encoder.backbone.blocks.1.layer_norm2.bias",
    "image_encoder.trunk.blocks.1.proj.bias": "vision_encoder.backbone.blocks.1.proj.bias",
    "image_encoder.neck.convs.3.conv.bias": "vision_encoder.neck.convs.3.bias",
    "sam_mask_decoder.transformer.layers.0.norm4.bias": "mask_decoder.transformer.layers.0.layer_norm4.bias",
    "sam_mask_decoder.transformer.norm_final_attn.bias": "mask_decoder.transformer.layer_norm_final_attn.bias",
    "sam_mask_decoder.transformer.layers.1.self_attn.out_proj.bias": (
        "mask_decoder.transformer.layers.1.self_attn.o_proj.bias"
    ),
    "sam_mask_decoder.output_upscaling.3.weight": "mask_decoder.upscale_conv2.weight",
    "sam_mask_decoder.output_upscaling.1.weight": "mask_decoder.upscale_layer_norm.weight",
    "sam_mask_decoder.output_hypernetworks_mlps.3.layers.2.weight": (
        "mask_decoder.output_hypernetworks_mlps.3.proj_out.weight"
    ),
    "sam_prompt_encoder.mask_downscaling.3.weight": "prompt_encoder.mask_embed.conv2.weight",
    "sam_prompt_encoder.mask_downscaling.4.weight": "prompt_encoder.mask_embed.layer_norm2.weight",
    "sam_prompt_encoder.mask_downscaling.6.weight": "prompt_encoder.mask_embed.conv3.weight",
    "memory_attention.norm.weight": "memory_attention.layer_norm.weight",
    "memory_attention.layers.3.cross_attn_image.out_proj.bias": (
        "memory_attention.layers.3.cross_attn_image.o_proj.bias"
    ),
    "memory_encoder.mask_downsampler.encoder.9.weight": "memory_encoder.mask_downsampler.layers.3.conv.weight",
    "memory_encoder.mask_downsampler.encoder.10.bias": "memory_encoder.mask_downsampler.layers.3.layer_norm.bias",
    "memory_encoder.mask_downsampler.encoder.12.bias": "memory_encoder.mask_downsampler.final_conv.bias",
    "memory_encoder.fuser.layers.1.gamma": "memory_encoder.memory_fuser.layers.1.scale",
    "memory_encoder.fuser.layers.1.pwconv2.bias": "memory_encoder.memory_fuser.layers.1.pointwise_conv2.bias",
    "memory_encoder.out_proj.weight": "memory_encoder.projection.weight",
    "memory_encoder.pix_feat_proj.weight": "memory_encoder.feature_projection.weight",
}


@pytest.mark.parity
@pytest.mark.parametrize("file", golden_files("auralsam2/keys_sam2_hiera_*.json"))
def test_sam2_names_map_onto_the_host(file):
    shapes = {name: tuple(shape) for name, shape in json.loads(file.read_text()).items()}
    state = sam2_state_from_original(numbered(shapes))
    with torch.device("meta"):
        host = Sam2VideoModel(sam2_config_of(state)).state_dict()
    assert {name: value.shape for name, value in state.items()} == {name: value.shape for name, value in host.items()}


@pytest.mark.parametrize("original, ours", SAM2_NAMES.items())
def test_sam2_names_are_pinned(original, ours):
    assert list(sam2_state_from_original({original: torch.zeros(3)})) == [ours]


@pytest.mark.parametrize("size", ["tiny", "small", "base_plus", "large"])
def test_every_host_is_recognised_by_its_weights(size):
    config = hiera_sam2_config(size, 512)
    state = sam2_state_from_original(numbered(original_sam2(config)))
    found = sam2_config_of(state, 512)
    assert found.to_dict() == config.to_dict()
    corners = state["prompt_encoder.point_embed.weight"][:, 0]
    assert corners.tolist() == sorted(corners.tolist()) and len(corners) == 4
    with pytest.raises(ValueError, match="found 0 blocks of width 0"):
        sam2_config_of({})


@pytest.mark.parametrize("version", ["2.0", "2.1"])
def test_the_version_is_told_by_its_tensors(version):
    config = hiera_sam2_config("tiny")
    config.enable_occlusion_spatial_embedding = version == "2.1"
    config.enable_temporal_pos_encoding_for_object_pointers = version == "2.1"
    with torch.device("meta"):
        state = Sam2VideoModel(config).state_dict()
    assert sam2_config_of(state).to_dict() == config.to_dict()


def test_a_file_of_metas_and_a_folder_of_transformers_hold_the_same(tmp_path):
    torch.manual_seed(0)
    sam = Sam2Backbone(nano_sam2_config())
    sam.save_pretrained(tmp_path / "folder")
    expected = sam.state_dict()
    originals = [name for name in original_sam2(sam.config) if "point_embeddings" not in name]
    state = {name: expected[next(iter(sam2_state_from_original({name: torch.zeros(1)})))] for name in originals}
    corners = expected["prompt_encoder.point_embed.weight"].split(1)
    state |= {f"sam_prompt_encoder.point_embeddings.{index}.weight": corner for index, corner in enumerate(corners)}
    torch.save({"model": state}, tmp_path / "sam2.pt")
    for source in ("folder", "sam2.pt"):
        found = read_sam2(tmp_path / source)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], value) for name, value in expected.items())
