"""How layers start, and how some take the place of others."""

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn
from transformers import initialization as init

Module = TypeVar("Module", bound=nn.Module)


def rebuild(stock: nn.Module, build: Callable[[], Module]) -> Module:
    """What `build` makes, with the parameters of `stock`, which are handed over and not copied.

    For sub-classes that compute with the same parameters in another way. They may not have buffers that are not saved.
    """
    with torch.device("meta"):
        module = build()
    module.load_state_dict(stock.state_dict(keep_vars=True), assign=True)
    return module


def init_linear(module: nn.Linear | nn.Conv2d) -> None:
    """PyTorch's own initialisation, for the `_init_weights` of methods that were trained from it."""
    init.kaiming_uniform_(module.weight, a=math.sqrt(5))
    if module.bias is not None:
        bound = 1 / math.sqrt(module.weight[0].numel())
        init.uniform_(module.bias, -bound, bound)


def init_attention(module: nn.MultiheadAttention) -> None:
    """As `init_linear`, for what an attention adds to its output projection."""
    init.xavier_uniform_(module.in_proj_weight)
    init.zeros_(module.in_proj_bias)
    init.zeros_(module.out_proj.bias)


def init_deformable_attention(attention: nn.Module) -> None:
    """For deformable attention of Transformers: at first every head looks in a direction of its own, at each point one
    step further, with equal weights."""
    heads, points = attention.n_heads, attention.n_points
    angles = torch.arange(heads) * (2 * torch.pi / heads)
    directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
    directions = directions / directions.abs().amax(-1, keepdim=True)
    steps = torch.arange(1, points + 1)[:, None]
    offsets = (directions[:, None, None] * steps).expand(-1, attention.n_levels, -1, -1)
    init.zeros_(attention.sampling_offsets.weight)
    init.copy_(attention.sampling_offsets.bias, offsets.flatten())
    for layer in (attention.attention_weights, attention.value_proj, attention.output_proj):
        init.zeros_(layer.bias)
    init.zeros_(attention.attention_weights.weight)
