"""ReferFormer's deformable transformer: frame by frame, queries that carry the sentence find boxes."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from transformers import DeformableDetrConfig
from transformers.models.deformable_detr.modeling_deformable_detr import (
    DeformableDetrDecoderLayer,
    DeformableDetrEncoder,
    DeformableDetrEncoderLayer,
    inverse_sigmoid,
)

from ...backbones.deformable_sampling import SummedSampling
from ...backbones.rows import as_index
from .configuration_referformer import ReferFormerConfig

NUM_LEVELS, NUM_POINTS = 4, 4


@dataclass(frozen=True, eq=False)
class FrameLevels:
    """Maps of `N` frames at four strides, one after the other along `L` positions.

    tokens: `[N, L, C]`; positions: their codes, the same shape.
    mask: bool `[N, L]`, which positions are no padding of the frame.
    sizes: height and width of each map.
    valid_ratios: `[N, 4, 2]`, the real share of width and height of each map.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    sizes: list[tuple[int, int]]
    valid_ratios: torch.Tensor

    def maps(self, tokens: torch.Tensor) -> list[torch.Tensor]:
        """Tokens `[N, L, C]` as maps `[N, C, h, w]`."""
        parts = tokens.split([height * width for height, width in self.sizes], dim=1)
        return [part.mT.unflatten(-1, size) for part, size in zip(parts, self.sizes, strict=True)]

    @property
    def places(self) -> dict[str, torch.Tensor | list[tuple[int, int]]]:
        """What the layers of Transformers want to know of the maps."""
        shapes = [edge for size in self.sizes for edge in size]
        starts = [sum(h * w for h, w in self.sizes[:level]) for level in range(len(self.sizes))]
        device = self.tokens.device
        return {
            "spatial_shapes": as_index(shapes, device).view(-1, 2),
            "spatial_shapes_list": self.sizes,
            "level_start_index": as_index(starts, device),
        }


@dataclass(frozen=True, eq=False)
class FrameQueries:
    """What `Q` queries say of `N` frames after a layer: `states [N, Q, C]`, `logits [N, Q]`, `boxes [N, Q, 4]` as
    centre and size from 0 to 1, and `centres [N, Q, 2]`, those of the boxes without a gradient."""

    states: torch.Tensor
    logits: torch.Tensor
    boxes: torch.Tensor
    centres: torch.Tensor


class ReferFormerMLP(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, *sizes: int):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """`[..., D]` to `[..., C]`."""
        *hidden, last = self.layers
        for layer in hidden:
            states = layer(states).relu()
        return last(states)


def valid_ratios(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The real share `[N, 2]` of width and height, of a mask bool `[N, h, w]`."""
    height, width = mask.shape[1:]
    return torch.stack([mask[:, 0].sum(1) / width, mask[:, :, 0].sum(1) / height], dim=-1).to(dtype)


class ReferFormerTransformer(nn.Module):
    """Encoder over the maps of a frame, and decoder of its queries."""

    def __init__(self, config: ReferFormerConfig):
        super().__init__()
        width = config.hidden_size
        layer_config = _layer_config(config)
        self.level_embed = nn.Embedding(NUM_LEVELS, width)
        self.encoder_layers = nn.ModuleList(
            DeformableDetrEncoderLayer(layer_config) for _ in range(config.num_encoder_layers)
        )
        self.queries = nn.Embedding(config.num_queries, width)
        self.reference_points = nn.Linear(width, 2)
        self.decoder_layers = nn.ModuleList(
            DeformableDetrDecoderLayer(layer_config) for _ in range(config.num_decoder_layers)
        )
        for layer in self.encoder_layers:
            layer.self_attn.attn = SummedSampling()
        for layer in self.decoder_layers:
            layer.encoder_attn.attn = SummedSampling()
            layer.self_attn.config = config  # whose implementation of attention may be switched
        self.box_heads = nn.ModuleList(ReferFormerMLP(width, width, width, 4) for _ in self.decoder_layers)
        self.class_heads = nn.ModuleList(nn.Linear(width, 1) for _ in self.decoder_layers)

    def encode(self, frames: FrameLevels) -> torch.Tensor:
        """Memory `[N, L, C]` of all positions."""
        codes = self.level_embed(torch.arange(NUM_LEVELS, device=frames.tokens.device))
        levels = [code.expand(height * width, -1) for code, (height, width) in zip(codes, frames.sizes, strict=True)]
        positions = frames.positions + torch.cat(levels)
        points = DeformableDetrEncoder.get_reference_points(frames.sizes, frames.valid_ratios, frames.tokens.device)
        memory, places = frames.tokens, frames.places
        for layer in self.encoder_layers:
            memory = layer(
                memory, frames.mask, spatial_position_embeddings=positions, reference_points=points, **places
            )
        return memory

    def decode(self, memory: torch.Tensor, frames: FrameLevels, queries: torch.Tensor) -> list[FrameQueries]:
        """What `queries [N, Q, C]` find in the `memory` of their frames, after each layer."""
        codes = self.queries(torch.arange(self.queries.num_embeddings, device=memory.device))
        reference = self.reference_points(codes).to(torch.promote_types(memory.dtype, torch.float32)).sigmoid()
        reference, codes = (value.expand(len(memory), -1, -1) for value in (reference, codes))
        states, places, found = queries, frames.places, []
        for layer, box_head, class_head in zip(self.decoder_layers, self.box_heads, self.class_heads, strict=True):
            ratios = frames.valid_ratios[:, None].repeat(1, 1, 1, reference.shape[-1] // 2)
            states = layer(
                states,
                object_queries_position_embeddings=codes,
                reference_points=reference[:, :, None].to(memory.dtype) * ratios,
                encoder_hidden_states=memory,
                encoder_attention_mask=frames.mask,
                **places,
            )
            shift = box_head(states).to(reference.dtype)
            known = inverse_sigmoid(reference)
            boxes = (shift + nn.functional.pad(known, (0, 4 - known.shape[-1]))).sigmoid()
            reference = boxes.detach()
            found.append(FrameQueries(states, class_head(states)[..., 0], boxes, reference[..., :2]))
        return found


def _layer_config(config: ReferFormerConfig) -> DeformableDetrConfig:
    heads, hidden = config.num_attention_heads, config.intermediate_size
    return DeformableDetrConfig(
        d_model=config.hidden_size,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=hidden,
        decoder_ffn_dim=hidden,
        num_feature_levels=NUM_LEVELS,
        encoder_n_points=NUM_POINTS,
        decoder_n_points=NUM_POINTS,
        activation_function="relu",
        dropout=config.dropout,
        attention_dropout=config.dropout,
        activation_dropout=config.dropout,
    )


__all__ = ["FrameLevels", "FrameQueries", "ReferFormerMLP", "ReferFormerTransformer", "valid_ratios"]
