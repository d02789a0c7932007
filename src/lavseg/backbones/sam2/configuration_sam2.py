"""Configurations of the SAM2 hosts."""

from transformers import Sam2VideoConfig

# With which audio adapters attend to words.
SENTENCE_HEADS = 8
# Backbone fields that differ from transformers' defaults (Hiera tiny), and the neck's input widths.
_HIERA = {
    "tiny": ({}, [768, 384, 192, 96]),
    "small": ({"blocks_per_stage": [1, 2, 11, 2], "global_attention_blocks": [7, 10, 13]}, [768, 384, 192, 96]),
    "base_plus": (
        {
            "hidden_size": 112,
            "embed_dim_per_stage": [112, 224, 448, 896],
            "num_attention_heads": 2,
            "num_attention_heads_per_stage": [2, 4, 8, 16],
            "blocks_per_stage": [2, 3, 16, 3],
            "global_attention_blocks": [12, 16, 20],
            "window_positional_embedding_background_size": [14, 14],
        },
        [896, 448, 224, 112],
    ),
    "large": (
        {
            "hidden_size": 144,
            "embed_dim_per_stage": [144, 288, 576, 1152],
            "num_attention_heads": 2,
            "num_attention_heads_per_stage": [2, 4, 8, 16],
            "blocks_per_stage": [2, 6, 36, 4],
            "global_attention_blocks": [23, 33, 43],
            "window_size_per_stage": [8, 4, 16, 8],
        },
        [1152, 576, 288, 144],
    ),
}


def size_fields(image_size: int, multiple: int) -> dict:
    """Every field that depends on the image size, for a stride-16 map of `image_size / 16`."""
    if type(image_size) is not int or image_size <= 0 or image_size % multiple:
        raise ValueError(f"image_size: {image_size!r} was given, SAM2 takes multiples of {multiple}")
    edge = image_size // 16
    return {
        "image_size": image_size,
        "memory_attention_rope_feat_sizes": [edge, edge],
        "backbone_feature_sizes": [[4 * edge] * 2, [2 * edge] * 2, [edge] * 2],
    }


def hiera_sam2_config(size: str = "large", image_size: int = 1024) -> Sam2VideoConfig:
    """Configuration of a published SAM 2.0 host.

    Args:
        size: "tiny", "small", "base_plus" or "large" (Hiera).
        image_size: edge of the square input, a multiple of 32.

    Raises:
        ValueError: for another size or edge.
    """
    if size not in _HIERA:
        raise ValueError(f"size: {size!r} was given, accepted are {', '.join(map(repr, _HIERA))}")
    backbone, channels = _HIERA[size]
    fields = size_fields(image_size, 32)
    return Sam2VideoConfig(
        vision_config={
            "model_type": "sam2_vision_model",
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "image_size": [image_size, image_size],
                **backbone,
            },
            "backbone_channel_list": channels,
            "backbone_feature_sizes": fields.pop("backbone_feature_sizes"),
        },
        prompt_encoder_config={"image_size": image_size},
        enable_temporal_pos_encoding_for_object_pointers=False,
        enable_occlusion_spatial_embedding=False,
        **fields,
    )


__all__ = ["hiera_sam2_config", "size_fields"]
