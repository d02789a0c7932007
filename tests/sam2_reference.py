"""Checkpoints under the names that SAM 2 was published with."""

import re

import torch
from transformers import Sam2VideoModel


def numbered(shapes):
    """Every tensor holds a value of its own; stored as one number each, so that files stay small."""
    return {
        name: torch.tensor(0.001 * index if shape else 7).expand(shape)
        for index, (name, shape) in enumerate(shapes.items())
    }


def original_sam2(config):
    """A SAM 2.0 state dict under Meta's names, by running the map backwards over a fresh host's."""
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in Sam2VideoModel(config).state_dict().items()}
    point = shapes.pop("prompt_encoder.point_embed.weight")
    matrix = shapes.pop("prompt_encoder.shared_embedding.positional_embedding")
    shapes.pop("shared_image_embedding.positional_embedding")
    renames = [
        (r"^memory_temporal_positional_encoding$", "maskmem_tpos_enc"),
        (r"^no_memory_embedding$", "no_mem_embed"),
        (r"^no_memory_positional_encoding$", "no_mem_pos_enc"),
        (r"^no_object_pointer$", "no_obj_ptr"),
        (r"(mlps\.\d|iou_prediction_head|obj_score_head|object_pointer_proj)\.layers\.0", r"\1.layers.1"),
        (r"(mlps\.\d|iou_prediction_head|obj_score_head|object_pointer_proj)\.proj_in", r"\1.layers.0"),
        (r"(mlps\.\d|iou_prediction_head|obj_score_head|object_pointer_proj)\.proj_out", r"\1.layers.2"),
        (r"^object_pointer_proj", "obj_ptr_proj"),
        (r"mlp\.proj_in", "mlp.layers.0"),
        (r"mlp\.proj_out", "mlp.layers.1"),
        (r"^vision_encoder\.backbone", "image_encoder.trunk"),
        (r"patch_embed\.projection", "patch_embed.proj"),
        (r"^vision_encoder\.neck\.convs\.(\d)", r"image_encoder.neck.convs.\1.conv"),
        (r"^memory_encoder\.projection", "memory_encoder.out_proj"),
        (r"feature_projection", "pix_feat_proj"),
        (r"memory_fuser", "fuser"),
        (r"\.scale$", ".gamma"),
        (r"depthwise_conv", "dwconv"),
        (r"pointwise_conv", "pwconv"),
        (r"final_conv", "encoder.12"),
        (r"mask_downsampler\.layers\.(\d)\.conv", lambda m: f"mask_downsampler.encoder.{3 * int(m[1])}"),
        (r"mask_downsampler\.layers\.(\d)\.layer_norm", lambda m: f"mask_downsampler.encoder.{3 * int(m[1]) + 1}"),
        (r"mask_embed\.conv(\d)", lambda m: f"mask_downscaling.{3 * int(m[1]) - 3}"),
        (r"mask_embed\.layer_norm(\d)", lambda m: f"mask_downscaling.{3 * int(m[1]) - 2}"),
        (r"upscale_conv1", "output_upscaling.0"),
        (r"upscale_layer_norm", "output_upscaling.1"),
        (r"upscale_conv2", "output_upscaling.3"),
        (r"^(prompt_encoder|mask_decoder)", r"sam_\1"),
        (r"\.o_proj\.", ".out_proj."),
        (r"layer_norm", "norm"),
    ]
    original = {}
    for name, shape in shapes.items():
        for pattern, replacement in renames:
            name = re.sub(pattern, replacement, name)
        original[name] = shape
    original |= {f"sam_prompt_encoder.point_embeddings.{i}.weight": (1, point[1]) for i in range(point[0])}
    return original | {"sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix": matrix}
