"""Layers of AVSegFormer's transformers, all post-norm."""

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from ...backbones.attention import attend
from ...backbones.deformable_sampling import DeformableAttention
from .configuration_avsegformer import AvsegFormerConfig

# Of the deformable attention: maps that a position looks at, and places on each that a head does.
NUM_LEVELS, NUM_POINTS = 3, 4


class AvsegFormerAttention(nn.Module):
    """Multi-head attention whose projections are layers of their own."""

    def __init__(self, config: AvsegFormerConfig, bias: bool = True, output_bias: bool = True, dropout: float = 0.0):
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.num_heads, self.dropout = config.num_attention_heads, dropout
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width, bias=bias) for _ in range(3))
        self.out_proj = nn.Linear(width, width, bias=output_bias)

    def forward(
        self, tokens: torch.Tensor, memory: torch.Tensor, memory_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Tokens `[N, L, C]` attend to those of `memory [N, S, C]` that `memory_mask`, bool `[N, S]`, says are real, or
        to all."""
        given = ((self.q_proj, tokens), (self.k_proj, memory), (self.v_proj, memory))
        query, key, value = (layer(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for layer, x in given)
        mask = None if memory_mask is None else memory_mask[:, None, None]
        attended, _ = attend(self, query, key, value, mask, dropout=self.dropout)
        return self.out_proj(attended.flatten(2))


class AvsegFormerFeedForward(nn.Module):
    """Linear, GELU, Linear, with dropout after both."""

    def __init__(self, width: int, intermediate_size: int, dropout: float):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(width, intermediate_size), nn.Linear(intermediate_size, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """`[..., C]` to the same shape."""
        return self.dropout(self.linear2(self.dropout(F.gelu(self.linear1(tokens)))))


class AvsegFormerEncoderLayer(GradientCheckpointingLayer):
    """Positions of all maps attend to places near theirs on each map, at offsets that are learned."""

    def __init__(self, config: AvsegFormerConfig):
        super().__init__()
        width = config.hidden_size
        self.self_attn = DeformableAttention(width, config.num_attention_heads, NUM_LEVELS, NUM_POINTS)
        self.feed_forward = AvsegFormerFeedForward(width, config.intermediate_size, config.dropout)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        reference_points: torch.Tensor,
        sizes: list[tuple[int, int]],
    ) -> torch.Tensor:
        """Update `tokens [N, L, C]` of maps of the `sizes`, with position codes `[1, L, C]`, at the points `[1, L,
        levels, 2]`, (x, y) from 0 to 1."""
        attended, _ = self.self_attn(
            tokens,
            encoder_hidden_states=tokens,
            position_embeddings=positions,
            reference_points=reference_points,
            spatial_shapes_list=sizes,
        )
        tokens = self.norm1(tokens + self.dropout(attended))
        return self.norm2(tokens + self.feed_forward(tokens))


class AvsegFormerDecoderLayer(GradientCheckpointingLayer):
    """Queries attend to each other, then to a memory, both without position codes."""

    def __init__(self, config: AvsegFormerConfig, intermediate_size: int, bias: bool, dropout: float):
        super().__init__()
        width = config.hidden_size
        self.self_attn = AvsegFormerAttention(config, bias, bias, dropout)
        self.cross_attn = AvsegFormerAttention(config, bias, bias, dropout)
        self.feed_forward = AvsegFormerFeedForward(width, intermediate_size, dropout)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, queries: torch.Tensor, memory: torch.Tensor, memory_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Update `queries [N, Q, C]` by `memory [N, S, C]`, as far as `memory_mask` bool `[N, S]` shows it."""
        queries = self.norm1(queries + self.dropout(self.self_attn(queries, queries)))
        queries = self.norm2(queries + self.dropout(self.cross_attn(queries, memory, memory_mask)))
        return self.norm3(queries + self.feed_forward(queries))


__all__ = ["AvsegFormerAttention", "AvsegFormerDecoderLayer", "AvsegFormerEncoderLayer", "DeformableAttention"]
