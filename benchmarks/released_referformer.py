"""ReferFormer's computation as its released code has it: for every sentence the whole model, attention with its weights
written out, and mask features copied for each query, of which every layer of the decoder makes masks."""

from contextlib import contextmanager

import torch
import torch.nn.functional as F
from library_sampling import library_sampling

from lavseg import ReferFormerModel
from lavseg.models.referformer.head_referformer import MASK_STRIDE, head_sizes


def copying_masks(
    head: torch.nn.Module, weights: torch.Tensor, features: torch.Tensor, centres: torch.Tensor
) -> torch.Tensor:
    """As `ReferFormerMaskHead.masks`, by grouped convolutions over copies of the features."""
    frames, queries, (height, width) = *weights.shape[:2], features.shape[-2:]
    rows, columns = (
        MASK_STRIDE * torch.arange(edge, dtype=features.dtype) + MASK_STRIDE / 2 for edge in (height, width)
    )
    places = torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)])
    relative = centres[..., None, None] - places
    copies = torch.cat([features[:, None].expand(-1, queries, -1, -1, -1), relative], dim=2)
    parts = weights.flatten(0, 1).split(head_sizes(head.width, head.hidden), dim=-1)
    count, hidden = frames * queries, copies.reshape(1, -1, height, width)
    sizes = (head.hidden, head.hidden, 1)
    for layer, (weight, bias, size) in enumerate(zip(parts[:3], parts[3:], sizes, strict=True)):
        kernels = weight.reshape(count * size, -1, 1, 1)
        hidden = F.conv2d(hidden.relu() if layer else hidden, kernels, bias.reshape(-1), groups=count)
    return hidden.view(frames, queries, height, width)


@contextmanager
def as_released(model: ReferFormerModel):
    """Inside, the model computes masks by copies, and those of all layers, and keeps all samples and weights."""
    head, kind = model.mask_head, model.config._attn_implementation
    decode = model.transformer.decode
    layers = []

    def keep(*given):
        layers[:] = decode(*given)
        return list(layers)

    def masks(weights, features, centres):
        for layer in layers[:-1]:
            copying_masks(head, head.controller(layer.states), features, centres)
        return copying_masks(head, weights, features, centres)

    model.set_attn_implementation("eager")
    head.masks, model.transformer.decode = masks, keep
    try:
        with library_sampling():
            yield
    finally:
        del head.masks, model.transformer.decode
        model.set_attn_implementation(kind)


def released_masks(
    model: ReferFormerModel, frames: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor
) -> torch.Tensor:
    """Mask logits `[E, T, h, w]` of one clip, from frames `[T, 3, H, W]` and tokens `[E, P]`, by the modules of
    `model`."""
    with as_released(model):
        found = [
            model(frames[None], ids[None, None], mask[None, None], output_query_masks=True)
            for ids, mask in zip(input_ids, attention_mask, strict=True)
        ]
    return torch.cat([outputs.pred_masks[0] for outputs in found])
