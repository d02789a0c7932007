"""The fusion modules that ST-BAVA is compared with inside SAM (table 2), behind one interface.

A module takes the image `[B, T, P, C]`, the sound `[B, T, C]`, the position code `[P, C]` and the frame mask bool
`[B, T]`, and returns [`Fused`]. Their internals are the originals'; the width and the way in and out are this
package's. Where a module works on one vector per frame, that is the mean over positions, and its output is added to all
positions.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from ...backbones.adapted_sam.heard_clips import to_clips
from ...backbones.attention import MultiheadAttention
from .configuration_st_bava import StBavaConfig


class Fused(NamedTuple):
    """Image `[B, T, P, C]`, sound `[B, T, C]`, and by name the attention maps `[B, T, H, P]` that were asked for, of
    each block."""

    vision: torch.Tensor
    audio: torch.Tensor
    attentions: Mapping[str, tuple[torch.Tensor, ...]] = MappingProxyType({})


class TpaviFusion(nn.Module):
    """Temporal pixel-wise audio-visual interaction (Zhou et al., ECCV 2022): every position of the clip takes from all
    others by their agreement with the sound, without softmax. The sound is left as it is."""

    def __init__(self, config: StBavaConfig):
        super().__init__()
        width = config.hidden_size
        self.query = nn.Linear(width, width // 2)
        self.key = nn.Linear(width, width // 2)
        self.value = nn.Linear(width, width // 2)
        self.output = nn.Linear(width // 2, width)
        self.norm_output = nn.BatchNorm1d(width)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, vision: torch.Tensor, audio: torch.Tensor, positions: torch.Tensor, frame_mask: torch.Tensor
    ) -> Fused:
        """Fuse `vision [B, T, P, C]` with `audio [B, T, C]`; `positions [P, C]` and `frame_mask` as in the module."""
        real = frame_mask[:, :, None].to(vision.dtype)
        # The key is the same at all positions of a frame, so the (TP)x(TP) map has low rank and is never formed.
        values = self.value(vision).sum(2) * real
        summary = torch.einsum("btk,btv->bkv", self.key(audio), values)
        summary = summary / (real.sum(1, keepdim=True) * vision.shape[2])
        update = self.output(torch.einsum("btpk,bkv->btpv", self.query(vision), summary))
        # Padding frames have no part in the statistics.
        normed = self.norm_output(update[frame_mask].flatten(0, 1)).unflatten(0, (-1, vision.shape[2]))
        return Fused(self.norm(to_clips(normed, frame_mask) + vision), audio)


class HanFusion(nn.Module):
    """Hybrid attention network (Tian et al., ECCV 2020): one layer, whose weights serve both modalities, attends within
    and across."""

    def __init__(self, config: StBavaConfig):
        super().__init__()
        width, dropout = config.hidden_size, 0.1
        self.within = MultiheadAttention(config, width, 1, dropout)
        self.across = MultiheadAttention(config, width, 1, dropout)
        self.norm1 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, width)
        self.linear2 = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, vision: torch.Tensor, audio: torch.Tensor, positions: torch.Tensor, frame_mask: torch.Tensor
    ) -> Fused:
        """Fuse `vision [B, T, P, C]` with `audio [B, T, C]`; `positions [P, C]` and `frame_mask` as in the module."""
        frames = vision.mean(2)
        update = self._layer(frames, audio, frame_mask)
        return Fused(vision + update[:, :, None], self._layer(audio, frames, frame_mask))

    def _layer(self, tokens: torch.Tensor, other: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
        across = self.across(tokens, other, frame_mask)
        within = self.within(tokens, tokens, frame_mask)
        tokens = self.norm1(tokens + self.dropout(across) + self.dropout(within))
        hidden = self.linear2(self.dropout(F.relu(self.linear1(tokens))))
        return self.norm2(tokens + self.dropout(hidden))


class CmranRelation(nn.Module):
    """Cross-modal relation layer: one modality attends to the other and to itself, post-norm."""

    def __init__(self, config: StBavaConfig, num_heads: int, intermediate_size: int, dropout: float):
        super().__init__()
        width = config.hidden_size
        self.attention = MultiheadAttention(config, width, num_heads, dropout)
        self.norm1 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, intermediate_size)
        self.linear2 = nn.Linear(intermediate_size, width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor, other: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
        """Update `tokens [B, T, C]` from `other [B, T, C]`; `frame_mask` bool `[B, T]`."""
        memory, memory_mask = torch.cat([other, tokens], dim=1), torch.cat([frame_mask, frame_mask], dim=1)
        tokens = self.norm1(tokens + self.dropout(self.attention(tokens, memory, memory_mask)))
        hidden = self.linear2(self.dropout(F.relu(self.linear1(tokens))))
        return self.norm2(tokens + self.dropout(hidden))


class CmranEncoderLayer(nn.TransformerEncoderLayer):
    """PyTorch's, post-norm, whose attention goes through Transformers' switch."""

    def __init__(self, config: StBavaConfig, num_heads: int, intermediate_size: int, dropout: float):
        super().__init__(config.hidden_size, num_heads, intermediate_size, dropout, batch_first=True)
        self.self_attn = MultiheadAttention(config, config.hidden_size, num_heads, dropout)

    def forward(self, tokens: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
        """Update `tokens [B, T, C]`; `frame_mask` bool `[B, T]`."""
        tokens = self.norm1(tokens + self.dropout1(self.self_attn(tokens, tokens, frame_mask)))
        hidden = self.linear2(self.dropout(F.relu(self.linear1(tokens))))
        return self.norm2(tokens + self.dropout2(hidden))


class CmranFusion(nn.Module):
    """Cross-modal relation-aware network (Xu et al., ACM MM 2020): sound gates channels and picks positions, then the
    two modalities relate along time."""

    def __init__(self, config: StBavaConfig):
        super().__init__()
        width, shape = config.hidden_size, (config, 4, 2048, 0.1)
        self.channel_audio, self.channel_vision = nn.Linear(width, width), nn.Linear(width, width)
        self.bottleneck, self.channel_gate = nn.Linear(width, width), nn.Linear(width, width)
        self.spatial_audio, self.spatial_vision = nn.Linear(width, width), nn.Linear(width, width)
        self.spatial_score = nn.Linear(width, 1, bias=False)
        self.audio_input, self.vision_input = nn.Linear(width, width), nn.Linear(width, width)
        self.audio_encoder, self.vision_encoder = (
            nn.ModuleList(CmranEncoderLayer(*shape) for _ in range(2)) for _ in range(2)
        )
        self.audio_relation, self.vision_relation = CmranRelation(*shape), CmranRelation(*shape)
        self.interaction = MultiheadAttention(config, width, 4, 0.1)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(0.1)

    def forward(
        self, vision: torch.Tensor, audio: torch.Tensor, positions: torch.Tensor, frame_mask: torch.Tensor
    ) -> Fused:
        """Fuse `vision [B, T, P, C]` with `audio [B, T, C]`; `positions [P, C]` and `frame_mask` as in the module."""
        gated = self._gate_channels(vision, audio)
        frames, sounds = self.vision_input(self._pick_positions(gated, audio)), self.audio_input(audio)
        for layer in self.vision_encoder:
            frames = layer(frames, frame_mask)
        for layer in self.audio_encoder:
            sounds = layer(sounds, frame_mask)
        related = self.audio_relation(sounds, frames, frame_mask)
        seen = self.vision_relation(frames, sounds, frame_mask)
        joint, both = seen * related, torch.cat([related, seen], dim=1)
        attended = self.interaction(joint, both, torch.cat([frame_mask, frame_mask], dim=1))
        update = self.norm(joint + self.dropout(attended))
        return Fused(gated + update[:, :, None], related)

    def _gate_channels(self, vision: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        agreement = F.relu(self.channel_vision(vision)) * F.relu(self.channel_audio(audio))[:, :, None]
        gate = self.channel_gate(F.relu(self.bottleneck(agreement.mean(2)))).sigmoid()
        return vision * (1 + gate[:, :, None])

    def _pick_positions(self, vision: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        agreement = F.relu(self.spatial_vision(vision)) * F.relu(self.spatial_audio(audio))[:, :, None]
        weights = self.spatial_score(agreement).tanh().softmax(2)
        return (weights * vision).sum(2)


class JcaBranch(nn.Module):
    """One modality's correlation with both, over time; all maps without bias."""

    def __init__(self, num_frames: int, width: int, hidden: int = 32):
        super().__init__()
        self.joint = nn.Linear(num_frames, num_frames, bias=False)
        self.correlation = nn.Linear(2 * width, hidden, bias=False)
        self.input = nn.Linear(num_frames, hidden, bias=False)
        self.output = nn.Linear(hidden, num_frames, bias=False)

    def forward(self, tokens: torch.Tensor, joint: torch.Tensor) -> torch.Tensor:
        """Tokens `[B, T, C]` and `joint [B, T, 2C]` to `[B, T, C]`."""
        over_time, joint = tokens.transpose(1, 2), joint.transpose(1, 2)
        correlation = over_time @ self.joint(joint).transpose(1, 2) / math.sqrt(joint.shape[1])
        hidden = F.relu(self.correlation(correlation.tanh()) + self.input(over_time))
        return tokens + self.output(hidden).transpose(1, 2)


class JcaFusion(nn.Module):
    """Joint cross-attention (Praveen et al., 2022). Its maps run over time, so its weights are made for one number of
    frames."""

    def __init__(self, config: StBavaConfig):
        super().__init__()
        self.num_frames = config.jca_num_frames
        self.audio = JcaBranch(self.num_frames, config.hidden_size)
        self.vision = JcaBranch(self.num_frames, config.hidden_size)

    def forward(
        self, vision: torch.Tensor, audio: torch.Tensor, positions: torch.Tensor, frame_mask: torch.Tensor
    ) -> Fused:
        """Fuse `vision [B, T, P, C]` with `audio [B, T, C]`; `positions [P, C]` and `frame_mask` as in the module."""
        if audio.shape[1] != self.num_frames or not frame_mask.all():
            raise ValueError(
                f"frames: JCA's weights are made for clips of exactly {self.num_frames} frames, got clips of "
                f"{frame_mask.sum(1).tolist()}; cut them, or set jca_num_frames and train anew"
            )
        frames = vision.mean(2)
        joint = torch.cat([audio, frames], dim=-1)
        return Fused(vision + self.vision(frames, joint)[:, :, None], self.audio(audio, joint))
