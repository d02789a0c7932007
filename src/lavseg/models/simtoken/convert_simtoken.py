"""Reads checkpoints of the released SimToken code into [`SimTokenModel`]."""

import re

import torch

# What follows from the architecture.
UNUSED_KEYS = re.compile(r"\.rotary_emb\.inv_freq$|\.embeddings\.position_ids$")
_LORA = re.compile(r"\.lora_(A|B)(?:\.default)?\.weight$")
# Of the released LoRA: alpha over rank.
LORA_SCALE = 2.0

_POSITIONS = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_RENAMES = [
    (r"^base_model\.model\.", ""),
    (r"\.base_layer\.", "."),
    (r"^model\.(embed_tokens|layers|norm)\.", r"language_model.\1."),
    (r"^model\.mm_projector\.", "mm_projector."),
    (r"^model\.text_hidden_fcs\.0\.", "text_hidden_fcs."),
    (r"^model\.vision_tower\.vision_tower\.vision_model\.", "vision_encoder."),
    (r"^model\.visual_model\.", "sam."),
    (r"^sam\.image_encoder\.", "sam.vision_encoder."),
    (r"^(sam\.vision_encoder)\.patch_embed\.proj\.", r"\1.patch_embed.projection."),
    (r"^(sam\.vision_encoder)\.blocks\.(\d+)\.norm([12])\.", r"\1.layers.\2.layer_norm\3."),
    (r"^(sam\.vision_encoder)\.blocks\.", r"\1.layers."),
    (r"^(sam\.vision_encoder\.neck)\.0\.", r"\1.conv1."),
    (r"^(sam\.vision_encoder\.neck)\.1\.", r"\1.layer_norm1."),
    (r"^(sam\.vision_encoder\.neck)\.2\.", r"\1.conv2."),
    (r"^(sam\.vision_encoder\.neck)\.3\.", r"\1.layer_norm2."),
    (r"^(sam\.prompt_encoder)\.point_embeddings\.", r"\1.point_embed."),
    (r"^(sam\.prompt_encoder)\.mask_downscaling\.0\.", r"\1.mask_embed.conv1."),
    (r"^(sam\.prompt_encoder)\.mask_downscaling\.1\.", r"\1.mask_embed.layer_norm1."),
    (r"^(sam\.prompt_encoder)\.mask_downscaling\.3\.", r"\1.mask_embed.conv2."),
    (r"^(sam\.prompt_encoder)\.mask_downscaling\.4\.", r"\1.mask_embed.layer_norm2."),
    (r"^(sam\.prompt_encoder)\.mask_downscaling\.6\.", r"\1.mask_embed.conv3."),
    (r"^(sam\.mask_decoder)\.output_upscaling\.0\.", r"\1.upscale_conv1."),
    (r"^(sam\.mask_decoder)\.output_upscaling\.1\.", r"\1.upscale_layer_norm."),
    (r"^(sam\.mask_decoder)\.output_upscaling\.3\.", r"\1.upscale_conv2."),
    (r"^(sam\.mask_decoder\..*)\.layers\.0\.(weight|bias)$", r"\1.proj_in.\2"),
    (r"^(sam\.mask_decoder\..*)\.layers\.1\.(weight|bias)$", r"\1.layers.0.\2"),
    (r"^(sam\.mask_decoder\..*)\.layers\.2\.(weight|bias)$", r"\1.proj_out.\2"),
    (r"^(sam\.mask_decoder\.transformer\.layers\.\d+)\.norm([1-4])\.", r"\1.layer_norm\2."),
    (r"^(sam\.mask_decoder\.transformer)\.norm_final_attn\.", r"\1.layer_norm_final_attn."),
]


def current_names(key: str) -> list[str]:
    """The names here of a tensor of the released code; SAM's position code has two."""
    for pattern, replacement in _RENAMES:
        key = re.sub(pattern, replacement, key)
    if key == f"sam.{_POSITIONS}":
        position = "shared_embedding.positional_embedding"
        return [f"sam.prompt_encoder.{position}", "sam.shared_image_embedding.positional_embedding"]
    return [key]


def state_from_release(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of a released checkpoint by their names here, with its LoRA added to the weights that it adapts."""
    adapters = {key: value for key, value in state.items() if _LORA.search(key)}
    kept = {key: value for key, value in state.items() if key not in adapters and not UNUSED_KEYS.search(key)}
    state = {name: value for key, value in kept.items() for name in current_names(key)}
    for key, down in adapters.items():
        if _LORA.search(key)[1] == "A":
            up = adapters[key.replace(".lora_A.", ".lora_B.")]
            name = current_names(_LORA.sub(".weight", key))[0]
            state[name] = state[name].float() + LORA_SCALE * up.float() @ down.float()
    return state
