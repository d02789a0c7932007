"""Attention of the methods' own, through Transformers' switch between implementations."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.sam2.modeling_sam2 import eager_attention_forward

from ..modeling.initialization import rebuild


def attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    output_attentions: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Softmax attention by the implementation that `module.config` names.

    Args:
        module: the layer; its mode says whether there is dropout.
        query: `[N, heads, L, d]`; key, value: `[N, heads, S, d]`.
        mask: bool that broadcasts to `[N, 1, L, S]`, True where a query may attend to a key.
        scaling: of the products; by default `d ** -0.5`.
        dropout: probability with which a weight is dropped in training.
        output_attentions: give the weights, which means eager attention whatever the configuration says.

    Returns:
        `[N, L, heads, d]`, and the weights `[N, heads, L, S]` where the implementation gives them.
    """
    kind = "eager" if output_attentions else module.config._attn_implementation
    if mask is not None and kind != "sdpa":
        lowest = torch.finfo(query.dtype).min
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill(~mask, lowest).expand(-1, -1, query.shape[2], -1)
    implementation = ALL_ATTENTION_FUNCTIONS.get_interface(kind, eager_attention_forward)
    return implementation(
        module,
        query,
        key,
        value,
        attention_mask=mask,
        scaling=query.shape[-1] ** -0.5 if scaling is None else scaling,
        dropout=dropout if module.training else 0.0,
        is_causal=False,
    )


class MultiheadAttention(nn.MultiheadAttention):
    """PyTorch's parameters, and Transformers' switch.

    Args:
        config: says which implementation.
        width: channels.
        num_heads: attention heads.
        dropout: probability with which a weight is dropped in training.
    """

    def __init__(self, config: PreTrainedConfig, width: int, num_heads: int, dropout: float = 0.0):
        super().__init__(width, num_heads, dropout, batch_first=True)
        # PyTorch's own layer there is none that adapters and quantisation change.
        self.out_proj = rebuild(self.out_proj, partial(nn.Linear, width, width))
        self.config = config

    def forward(
        self,
        tokens: torch.Tensor,
        memory: torch.Tensor,
        memory_mask: torch.Tensor | None = None,
        values: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Tokens `[N, L, C]` attend to those of `memory [N, S, C]` that `memory_mask`, bool `[N, S]`, says are real, or
        to all; what they read there are `values` of its shape, or `memory` itself."""
        width = self.embed_dim
        query = F.linear(tokens, self.in_proj_weight[:width], self.in_proj_bias[:width])
        if values is None:
            both = F.linear(memory, self.in_proj_weight[width:], self.in_proj_bias[width:]).chunk(2, -1)
        else:
            weights, biases = self.in_proj_weight[width:].chunk(2), self.in_proj_bias[width:].chunk(2)
            both = map(F.linear, (memory, values), weights, biases)
        query, key, value = (states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for states in (query, *both))
        mask = None if memory_mask is None else memory_mask[:, None, None]
        attended, _ = attend(self, query, key, value, mask, dropout=self.dropout)
        return self.out_proj(attended.flatten(2))
