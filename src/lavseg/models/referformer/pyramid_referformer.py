"""ReferFormer's pyramid: from stride 32 to 4, pixels of all frames of a clip attend to each other and to the words."""

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from ...backbones.attention import MultiheadAttention
from .configuration_referformer import ReferFormerConfig

# By how much each level is reduced for the attention between frames, from stride 32 to 4.
REDUCTIONS = (1, 2, 4, 8)
_GROUPS = 8


class AnySizeGroupNorm(nn.GroupNorm):
    """PyTorch's, which refuses a single value in a group; it is the bias then."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps `[N, C, h, w]`, of the same shape after."""
        return torch.group_norm(maps, self.num_groups, self.weight, self.bias, self.eps)


class ReferFormerClipAttention(GradientCheckpointingLayer):
    """Pixels of all frames attend to each other, on reduced maps; the order of frames is invisible."""

    def __init__(self, config: ReferFormerConfig, reduction: int):
        super().__init__()
        self.reduction = reduction
        width = config.hidden_size
        self.attention = MultiheadAttention(config, width, config.num_attention_heads, config.dropout)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, maps: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Maps `[B, T, C, h, w]` of clips, with codes `[B, C, h, w]` and a mask bool `[B, T, h, w]` of what is no
        padding (all is real when None), as updated tokens `[B, T h w, C]`."""
        frames, size = maps.shape[1], maps.shape[-2:]
        small = [edge // self.reduction for edge in size]
        values, codes = (F.interpolate(given, small, mode="nearest") for given in (maps.flatten(0, 1), positions))
        values = _tokens(values.unflatten(0, (-1, frames)))
        codes = _tokens(codes[:, None].expand(-1, frames, -1, -1, -1))
        if mask is not None:
            mask = F.interpolate(mask.to(maps.dtype), small, mode="nearest").flatten(1) > 0
        query = values + codes
        attended = self.attention(query, query, mask, values=values)
        attended = attended.unflatten(1, (frames, *small)).movedim(-1, 2)
        attended = F.interpolate(attended.flatten(0, 1), size, mode="bilinear").unflatten(0, (-1, frames))
        return self.norm(_tokens(maps) + self.dropout(_tokens(attended)))


class ReferFormerWordAttention(GradientCheckpointingLayer):
    """Pixels attend to the words; a feed-forward layer follows."""

    def __init__(self, config: ReferFormerConfig):
        super().__init__()
        width, hidden = config.hidden_size, config.intermediate_size
        self.attention = MultiheadAttention(config, width, config.num_attention_heads, config.dropout)
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        words: torch.Tensor,
        word_positions: torch.Tensor,
        word_mask: torch.Tensor,
    ) -> torch.Tensor:
        """Update `tokens [B, L, C]` with codes `[B, L, C]`, or `[B, L / T, C]` that are the same in `T` frames, by
        `words [B, P, C]` with theirs, as far as `word_mask` bool `[B, P]` shows them."""
        placed = tokens.unflatten(1, (-1, positions.shape[1])) + positions[:, None]
        read = self.attention(placed.flatten(1, 2), words + word_positions, word_mask, values=words)
        tokens = self.norm1(tokens + self.dropout(read))
        changed = self.linear2(self.dropout(self.linear1(tokens).relu()))
        return self.norm2(tokens + self.dropout(changed))


class ReferFormerPyramidLevel(nn.Module):
    """One stride: an adapter, both attentions, and a convolution that takes in the coarser level."""

    def __init__(self, config: ReferFormerConfig, in_channels: int, reduction: int):
        super().__init__()
        width = config.hidden_size
        self.adapter = nn.Sequential(nn.Conv2d(in_channels, width, 1, bias=False), nn.GroupNorm(_GROUPS, width))
        self.clip_attention = ReferFormerClipAttention(config, reduction)
        self.word_attention = ReferFormerWordAttention(config)
        convolution = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.layer = nn.Sequential(convolution, nn.GroupNorm(_GROUPS, width), nn.ReLU())

    def see(self, maps: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Tokens `[B, T h w, C]` of maps `[B, T, D, h, w]`, before any word is read."""
        adapted = self.adapter(maps.flatten(0, 1)).unflatten(0, maps.shape[:2])
        return self.clip_attention(adapted, positions, mask)

    def read(
        self, tokens: torch.Tensor, positions: torch.Tensor, words: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        """What `see` gives with codes `[B, C, h, w]`, once it has read the words, as in `ReferFormerWordAttention`."""
        return self.word_attention(tokens, positions.flatten(2).mT, *words)

    def forward(self, tokens: torch.Tensor, size: tuple[int, int], coarser: torch.Tensor | None) -> torch.Tensor:
        """Maps `[B T, C, h, w]` of a size from what `read` gives and the maps of the coarser level."""
        maps = tokens.unflatten(1, (-1, *size)).flatten(0, 1).movedim(-1, 1)
        if coarser is not None:
            maps = maps + F.interpolate(coarser, maps.shape[-2:], mode="nearest")
        return self.layer(maps)


class ReferFormerPyramid(nn.Module):
    """All levels, from stride 32 to 4; what the finest sees of the clip is the same for every sentence."""

    def __init__(self, config: ReferFormerConfig, finest_channels: int):
        super().__init__()
        width = config.hidden_size
        channels = (width, width, width, finest_channels)
        self.levels = nn.ModuleList(
            ReferFormerPyramidLevel(config, size, reduction)
            for size, reduction in zip(channels, REDUCTIONS, strict=True)
        )
        self.mask_features = nn.Conv2d(width, width, 3, padding=1)

    def adapt_finest(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps `[N, C, h, w]` of the backbone's `[N, D, h, w]` at stride 4, frame by frame."""
        return self.levels[-1].adapter(maps)

    def see_finest(self, maps: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Tokens of what `adapt_finest` gives, `[B, T, C, h, w]`, for all sentences."""
        return self.levels[-1].clip_attention(maps, positions, mask)

    def forward(
        self,
        coarse: list[torch.Tensor],
        finest: torch.Tensor,
        positions: list[torch.Tensor],
        masks: list[torch.Tensor | None],
        words: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mask features `[B, T, C, h, w]` at stride 4, and the tokens `[B, T h w, C]` at stride 32 that have read the
        words.

        Args:
            coarse: memory of the encoder as maps `[B, T, C, h, w]` at strides 32, 16 and 8.
            finest: what `see_finest` gives.
            positions, masks: as in `ReferFormerClipAttention`, at strides 32, 16, 8 and 4.
            words: as in `ReferFormerWordAttention`.
        """
        frames, maps = coarse[0].shape[1], None
        seen = [
            level.see(given, *place)
            for level, given, *place in zip(self.levels[:-1], coarse, positions[:-1], masks[:-1], strict=True)
        ]
        read = [
            level.read(tokens, codes, words)
            for level, tokens, codes in zip(self.levels, [*seen, finest], positions, strict=True)
        ]
        for level, tokens, codes in zip(self.levels, read, positions, strict=True):
            maps = level(tokens, codes.shape[-2:], maps)
        return self.mask_features(maps).unflatten(0, (-1, frames)), read[0]


def _tokens(maps: torch.Tensor) -> torch.Tensor:
    """Maps `[B, T, C, h, w]` as `[B, T h w, C]`."""
    return maps.movedim(2, -1).flatten(1, 3)


__all__ = ["AnySizeGroupNorm", "ReferFormerClipAttention", "ReferFormerPyramid", "ReferFormerWordAttention"]
