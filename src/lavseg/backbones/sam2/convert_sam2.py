"""Reads Meta's SAM 2 checkpoints under the names of transformers' `Sam2VideoModel`."""

import re
from pathlib import Path

import torch
from transformers import Sam2VideoConfig, Sam2VideoModel

from ...modeling.conversion import read_tensors
from ...modeling.encoders import load_host
from .configuration_sam2 import hiera_sam2_config

_POINT_EMBEDDING = re.compile(r"sam_prompt_encoder\.point_embeddings\.(\d)\.weight")
_POSITION_MATRIX = "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_THREE_LAYERS = r"(output_hypernetworks_mlps\.\d|iou_prediction_head|pred_obj_score_head|obj_ptr_proj)\.layers\."

# Applied in this order, each to what the one before left.
_RENAMES = [
    (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
    (r"^no_obj_ptr$", "no_object_pointer"),
    (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
    (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
    (_THREE_LAYERS + "0", r"\1.proj_in"),
    (_THREE_LAYERS + "1", r"\1.layers.0"),
    (_THREE_LAYERS + "2", r"\1.proj_out"),
    (r"^obj_ptr_proj\.", "object_pointer_proj."),
    (r"mlp\.layers\.0", "mlp.proj_in"),
    (r"mlp\.layers\.1", "mlp.proj_out"),
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"patch_embed\.proj\.", "patch_embed.projection."),
    (r"^image_encoder\.neck\.convs\.(\d)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"^memory_encoder\.out_proj\.", "memory_encoder.projection."),
    (r"^memory_encoder\.pix_feat_proj\.", "memory_encoder.feature_projection."),
    (r"^memory_encoder\.fuser\.", "memory_encoder.memory_fuser."),
    (r"\.gamma$", ".scale"),
    (r"\.dwconv\.", ".depthwise_conv."),
    (r"\.pwconv(\d)\.", r".pointwise_conv\1."),
    (r"mask_downsampler\.encoder\.12\.", "mask_downsampler.final_conv."),
    (r"mask_downscaling\.([036])\.", lambda m: f"mask_embed.conv{1 + int(m[1]) // 3}."),
    (r"mask_downscaling\.([14])\.", lambda m: f"mask_embed.layer_norm{1 + int(m[1]) // 3}."),
    (r"mask_downsampler\.encoder\.(0|3|6|9)\.", lambda m: f"mask_downsampler.layers.{int(m[1]) // 3}.conv."),
    (r"mask_downsampler\.encoder\.(\d+)\.", lambda m: f"mask_downsampler.layers.{int(m[1]) // 3}.layer_norm."),
    (r"output_upscaling\.0\.", "upscale_conv1."),
    (r"output_upscaling\.1\.", "upscale_layer_norm."),
    (r"output_upscaling\.3\.", "upscale_conv2."),
    (r"^sam_(prompt_encoder|mask_decoder)\.", r"\1."),
    (r"\.out_proj\.", ".o_proj."),
    (r"\.norm(\d?)(_final_attn)?\.", r".layer_norm\1\2."),
]


def sam2_state_from_original(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the tensors of a SAM 2.0 or 2.1 checkpoint (its "model" entry) for `Sam2VideoModel.load_state_dict`.

    Names that are not SAM 2's come out unknown to the model, so that strict loading names them.
    """
    renamed, points = {}, {}
    for key, value in state.items():
        if match := _POINT_EMBEDDING.fullmatch(key):
            points[int(match[1])] = value
        elif key == _POSITION_MATRIX:
            renamed["shared_image_embedding.positional_embedding"] = value
            renamed["prompt_encoder.shared_embedding.positional_embedding"] = value.clone()
        else:
            for pattern, replacement in _RENAMES:
                key = re.sub(pattern, replacement, key)
            renamed[key] = value
    if points:
        renamed["prompt_encoder.point_embed.weight"] = torch.cat([points[index] for index in sorted(points)])
    return renamed


def read_sam2(name_or_path: str | Path) -> dict[str, torch.Tensor]:
    """The weights of a SAM 2 checkpoint under transformers' names.

    Args:
        name_or_path: one of Meta's `.pt` files, or the folder or Hub id of a Transformers SAM2 video model.

    Raises:
        ValueError: when it is another model or lacks weights.
    """
    if Path(name_or_path).is_file():
        return sam2_state_from_original(read_tensors(name_or_path, "sam2"))
    return load_host("sam2", name_or_path, Sam2VideoModel).state_dict()


def sam2_config_of(state: dict[str, torch.Tensor], image_size: int = 1024) -> Sam2VideoConfig:
    """The configuration of the published host that these weights, under transformers' names, belong to.

    Args:
        state: the file's. Width and number of the blocks of its encoder tell the size, and two tensors the version.
        image_size: edge of the square input.

    Raises:
        ValueError: when they are not a published host's.
    """
    key = "vision_encoder.backbone.patch_embed.projection.weight"
    width = len(state[key]) if key in state else 0
    blocks = len({name.split(".")[3] for name in state if name.startswith("vision_encoder.backbone.blocks.")})
    size = {(96, 12): "tiny", (96, 16): "small", (112, 24): "base_plus", (144, 48): "large"}.get((width, blocks))
    if size is None:
        raise ValueError(
            f"sam2: weights of Hiera tiny, small, base plus or large are needed, found {blocks} blocks of width {width}"
        )
    config = hiera_sam2_config(size, image_size)
    config.enable_occlusion_spatial_embedding = "occlusion_spatial_embedding_parameter" in state
    config.enable_temporal_pos_encoding_for_object_pointers = (
        "temporal_positional_encoding_projection_layer.weight" in state
    )
    return config
