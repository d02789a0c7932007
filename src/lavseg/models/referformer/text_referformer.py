"""How ReferFormer reads: words and sentence at its width, and the codes of places."""

import math

import torch
from torch import nn
from transformers import RobertaModel
from transformers.utils import logging

from ...backbones.attention import MultiheadAttention
from .configuration_referformer import ReferFormerConfig

logger = logging.get_logger(__name__)


def sine_code(places: torch.Tensor, channels: int) -> torch.Tensor:
    """Sines and cosines `[..., channels]`, in turn, of places `[...]` in radians, at wavelengths up to 10000 times as
    long."""
    steps = torch.arange(channels // 2, dtype=places.dtype, device=places.device)
    angles = places[..., None] / 10000 ** (2 * steps / channels)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def word_positions(mask: torch.Tensor, channels: int, dtype: torch.dtype) -> torch.Tensor:
    """Codes `[N, P, channels]` of the words that `mask`, bool `[N, P]`, says are real; padding has the last one's."""
    places = mask.to(torch.promote_types(dtype, torch.float32)).cumsum(1)
    return sine_code(places / (places[:, -1:] + 1e-6) * 2 * math.pi, channels).to(dtype)


def map_positions(mask: torch.Tensor, channels: int, dtype: torch.dtype) -> torch.Tensor:
    """Codes `[N, channels, h, w]` of the pixels that `mask`, bool `[N, h, w]`, says are real: of the row, then of the
    column."""
    real = mask.to(torch.promote_types(dtype, torch.float32))
    rows, columns = real.cumsum(1), real.cumsum(2)
    rows = (rows - 0.5) / (rows[:, -1:] + 1e-6) * 2 * math.pi
    columns = (columns - 0.5) / (columns[:, :, -1:] + 1e-6) * 2 * math.pi
    codes = [sine_code(places, channels // 2) for places in (rows, columns)]
    return torch.cat(codes, dim=-1).permute(0, 3, 1, 2).to(dtype)


class ReferFormerProjection(nn.Module):
    """Linear, norm and dropout, for words and sentences alike."""

    def __init__(self, in_size: int, config: ReferFormerConfig):
        super().__init__()
        self.linear = nn.Linear(in_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """`[..., D]` to `[..., C]`."""
        return self.dropout(self.norm(self.linear(states)))


class ReferFormerFusion(nn.Module):
    """Each pixel of a map is multiplied by what it reads from the words."""

    def __init__(self, config: ReferFormerConfig):
        super().__init__()
        self.attention = MultiheadAttention(config, config.hidden_size, config.num_attention_heads)

    def forward(
        self,
        tokens: torch.Tensor,
        words: torch.Tensor,
        positions: torch.Tensor,
        mask: torch.Tensor,
        heard: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Pixels `[N, L, C]` read `words [N, P, C]` with codes `positions`, those that `mask` bool `[N, P]` shows;
        `heard`, of the pixels' shape, is added to what they read."""
        read = self.attention(tokens, words + positions, mask, values=words)
        return tokens * (read if heard is None else read + heard)


def load_text_encoder(name_or_path: str) -> RobertaModel:
    """A published RoBERTa with its pooler, which is drawn anew, with a warning, where the file has none.

    Raises:
        ValueError: when other weights are missing.
    """
    model, report = RobertaModel.from_pretrained(name_or_path, output_loading_info=True)
    missing = sorted(report["missing_keys"])
    if other := [key for key in missing if not key.startswith("pooler.")]:
        raise ValueError(f"text: {name_or_path} lacks weights: {', '.join(other)}")
    if missing:
        logger.warning(
            f"text: {name_or_path} has no pooler, which gives the sentence; it is drawn at random and learns only "
            "where the text encoder trains. A converted checkpoint brings its own"
        )
    return model


__all__ = [
    "ReferFormerFusion",
    "ReferFormerProjection",
    "load_text_encoder",
    "map_positions",
    "sine_code",
    "word_positions",
]
