"""How layers start that were trained from PyTorch's own initialisation."""

import math

from torch import nn
from transformers import initialization as init


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
