"""Configurations of the SAM hosts."""

from copy import deepcopy

from transformers import SamConfig

# Width, blocks, heads and blocks with global attention of the published image encoders.
_VIT = {
    "base": (768, 12, 12, [2, 5, 8, 11]),
    "large": (1024, 24, 16, [5, 11, 17, 23]),
    "huge": (1280, 32, 16, [7, 15, 23, 31]),
}


def vit_sam_config(size: str = "huge", image_size: int = 1024) -> SamConfig:
    """Configuration of a published SAM host.

    Args:
        size: "base", "large" or "huge" (ViT).
        image_size: edge of the square input, a multiple of 16.

    Raises:
        ValueError: for another size.
    """
    if size not in _VIT:
        raise ValueError(f"size: {size!r} was given, accepted are {', '.join(map(repr, _VIT))}")
    width, layers, heads, global_layers = _VIT[size]
    return SamConfig(
        vision_config={
            "hidden_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "global_attn_indexes": global_layers,
            "image_size": image_size,
        },
        prompt_encoder_config={"image_size": image_size},
    )


def with_original_norms(config: SamConfig) -> SamConfig:
    """A copy whose mask decoder has the LayerNorms it was trained with; Transformers' default differs, 1e-6."""
    config = deepcopy(config)
    config.mask_decoder_config.layer_norm_eps = 1e-5
    return config


__all__ = ["vit_sam_config", "with_original_norms"]
