"""SAM2's image encoder without the position codes of all levels, which nothing here reads."""

import torch
import torch.nn.functional as F
from transformers import Sam2VideoModel


def encode_images(sam: Sam2VideoModel, pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Encode images `[N, 3, S, S]` to the neck's maps at strides 4, 8, 16, each `[N, C, S/stride, S/stride]`.

    These are the maps before the mask decoder's `conv_s0` and `conv_s1`, which may train.

    Raises:
        ValueError: when the images do not have the size the model was configured for.
    """
    size = sam.config.image_size
    if tuple(pixel_values.shape[-3:]) != (3, size, size):
        given = "x".join(map(str, pixel_values.shape[-3:]))
        raise ValueError(
            f"pixel_values: images of {given} were given, the model takes 3x{size}x{size}; check the processor"
        )
    neck = sam.vision_encoder.neck
    stages = sam.vision_encoder.backbone(pixel_values).intermediate_hidden_states
    maps, coarser = [], None
    for level in reversed(range(len(stages))):
        conv = neck.convs[len(stages) - 1 - level]
        current = conv(stages[level].permute(0, 3, 1, 2))
        if coarser is not None and level in neck.fpn_top_down_levels:
            current = current + F.interpolate(coarser.float(), scale_factor=2.0, mode="nearest").to(current.dtype)
        maps.append(current)
        coarser = current
    return tuple(reversed(maps[-sam.num_feature_levels :]))
