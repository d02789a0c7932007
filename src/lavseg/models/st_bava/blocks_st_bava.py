"""ST-BAVA's own fusion: blocks in which sound and image update each other over time and space (Eq. 1, 2)."""

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from ...backbones.attention import attend
from ...modeling.conversion import split_in_proj_hook
from .configuration_st_bava import StBavaConfig
from .fusion_st_bava import Fused


class StBavaMlp(nn.Module):
    """Linear, GELU, Linear, all of one width."""

    def __init__(self, width: int):
        super().__init__()
        self.lin1 = nn.Linear(width, width)
        self.lin2 = nn.Linear(width, width)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`[..., C]` to the same shape."""
        return self.lin2(F.gelu(self.lin1(hidden_states)))


class StBavaAttention(nn.Module):
    """Projections of a multi-head attention. Queries, keys and values are made apart, so that those of the sound, the
    same at every position, are made once."""

    def __init__(self, config: StBavaConfig):
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.num_heads = config.num_attention_heads
        self.scaling = (width // self.num_heads) ** -0.5
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self.dropout = nn.Dropout(config.attention_dropout)
        self.register_load_state_dict_pre_hook(split_in_proj_hook)

    def query(self, tokens: torch.Tensor) -> torch.Tensor:
        """`[..., C]` to `[..., heads, d]`, scaled."""
        return self.q_proj(tokens).unflatten(-1, (self.num_heads, -1)) * self.scaling

    def key(self, tokens: torch.Tensor) -> torch.Tensor:
        """`[..., C]` to `[..., heads, d]`."""
        return self.k_proj(tokens).unflatten(-1, (self.num_heads, -1))

    def value(self, tokens: torch.Tensor) -> torch.Tensor:
        """`[..., C]` to `[..., heads, d]`."""
        return self.v_proj(tokens).unflatten(-1, (self.num_heads, -1))

    def output(self, attended: torch.Tensor) -> torch.Tensor:
        """`[..., heads, d]` to `[..., C]`."""
        return self.out_proj(attended.flatten(-2))

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Queries `[N, L, heads, d]` to keys and values `[N, S, heads, d]`, which gives `[N, L, heads, d]` and, where
        asked for, the weights `[N, heads, L, S]`; `mask` bool `[N, 1, 1, S]`."""
        states = (part.transpose(1, 2) for part in (query, key, value))
        return attend(self, *states, mask, 1.0, self.dropout.p, output_attentions)


class StBavaStream(nn.Module):
    """What a block does to one modality beside attention: an MLP before, a norm after each attention, an MLP after."""

    def __init__(self, width: int, temporal: bool, spatial: bool):
        super().__init__()
        self.mlp_in = StBavaMlp(width)
        self.norm_in = nn.LayerNorm(width)
        self.norm_temporal = nn.LayerNorm(width) if temporal else None
        self.norm_spatial = nn.LayerNorm(width) if spatial else None
        self.mlp_out = StBavaMlp(width)
        self.norm_out = nn.LayerNorm(width)

    def enter(self, tokens: torch.Tensor) -> torch.Tensor:
        """What comes before the attentions, `[..., C]` to the same shape."""
        return self.norm_in(tokens + self.mlp_in(tokens))

    def leave(self, tokens: torch.Tensor) -> torch.Tensor:
        """What comes after the attentions, `[..., C]` to the same shape."""
        return self.norm_out(tokens + self.mlp_out(tokens))


class StBavaLayer(GradientCheckpointingLayer):
    """One block: the sound is updated from the image, then the image from the sound; each over time and space (Eq. 1,
    2), post-norm. Axes: `B` clips, `T` frames, `P` positions, `H` heads."""

    def __init__(self, config: StBavaConfig):
        super().__init__()
        width, copies = config.hidden_size, 1 if config.share_directions or not config.bidirectional else 2
        self.gate = config.spatial_mode == "gate"
        self.bidirectional = config.bidirectional
        self.kinds = [kind for kind in ("temporal", "spatial") if kind == "spatial" or config.temporal_attention]
        if config.order == "spatial_first":
            self.kinds.reverse()
        # The first updates the sound and the last the image: the same one where directions share.
        self.temporal = nn.ModuleList(StBavaAttention(config) for _ in range(copies * config.temporal_attention))
        self.spatial = nn.ModuleList(StBavaAttention(config) for _ in range(copies))
        steered = config.bidirectional
        self.audio = StBavaStream(width, steered and config.temporal_attention, steered)
        self.vision = StBavaStream(width, config.temporal_attention, True)

    def forward(
        self,
        audio: torch.Tensor,
        vision: torch.Tensor,
        audio_code: torch.Tensor,
        positions: torch.Tensor,
        frame_mask: torch.Tensor,
        output_attentions: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Update `audio [B, T, C]` and `vision [B, T, P, C]`.

        Args:
            audio_code: `[B, T, C]`, added to the sound wherever it is a query or key.
            positions: `[P, C]`, likewise for the image.
            frame_mask: bool `[B, T]`; padding frames are attended to by nobody.
            output_attentions: give the spatial maps.

        Returns:
            Sound, image, and where asked for the spatial maps `[B, T, H, P]` that updated the sound (None where nothing
            did) and the image.
        """
        audio, vision = self.audio.enter(audio), self.vision.enter(vision)
        audio_map = vision_map = None
        if self.bidirectional:
            placed = vision + positions
            for kind in self.kinds:
                coded = audio + audio_code
                if kind == "temporal":
                    audio = self.audio.norm_temporal(audio + self._temporal_audio(audio, coded, placed, frame_mask))
                else:
                    update, audio_map = self._spatial_audio(audio, coded, vision, placed, output_attentions)
                    audio = self.audio.norm_spatial(audio + update)
        audio = self.audio.leave(audio)
        coded = audio + audio_code
        for kind in self.kinds:
            placed = vision + positions
            if kind == "temporal":
                vision = self.vision.norm_temporal(vision + self._temporal_vision(coded, vision, placed, frame_mask))
            else:
                update, vision_map = self._spatial_vision(audio, coded, vision, placed, output_attentions)
                vision = self.vision.norm_spatial(vision + update)
        return audio, self.vision.leave(vision), audio_map, vision_map

    def _temporal_audio(
        self, audio: torch.Tensor, coded: torch.Tensor, placed: torch.Tensor, frame_mask: torch.Tensor
    ) -> torch.Tensor:
        """Every position attends to the sound of all frames; the mean over positions, `[B, T, C]`."""
        attention, (clips, frames, positions) = self.temporal[0], placed.shape[:3]
        asked = attention.query(placed).flatten(1, 2)
        mask = frame_mask[:, None, None]
        answers, _ = attention.attend(asked, attention.key(coded), attention.value(audio), mask)
        return attention.output(answers.view(clips, frames, positions, *answers.shape[2:]).mean(2))

    def _temporal_vision(
        self, coded: torch.Tensor, vision: torch.Tensor, placed: torch.Tensor, frame_mask: torch.Tensor
    ) -> torch.Tensor:
        """The sound of each frame attends to every position over all frames, `[B, T, P, C]`."""
        attention, (clips, _, positions) = self.temporal[-1], placed.shape[:3]
        asked = attention.query(coded).repeat_interleave(positions, dim=0)
        key, value = (part.transpose(1, 2).flatten(0, 1) for part in (attention.key(placed), attention.value(vision)))
        mask = frame_mask.repeat_interleave(positions, dim=0)[:, None, None]
        answers, _ = attention.attend(asked, key, value, mask)
        return attention.output(answers.unflatten(0, (clips, positions)).transpose(1, 2))

    def _spatial_audio(
        self,
        audio: torch.Tensor,
        coded: torch.Tensor,
        vision: torch.Tensor,
        placed: torch.Tensor,
        output_attentions: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        attention = self.spatial[0]
        if self.gate:
            return _pool_positions(attention, coded, vision, placed, output_attentions)
        # One key: its weight is 1 at every position, and only dropout makes the positions differ.
        ones = audio.new_ones(*vision.shape[:3], attention.num_heads).transpose(-1, -2)
        kept = attention.dropout(ones).mean(-1, keepdim=True)
        return attention.output(kept * attention.value(audio)), ones

    def _spatial_vision(
        self,
        audio: torch.Tensor,
        coded: torch.Tensor,
        vision: torch.Tensor,
        placed: torch.Tensor,
        output_attentions: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        attention = self.spatial[-1]
        if not self.gate:
            update, weights = _pool_positions(attention, coded, vision, placed, output_attentions)
            return update[:, :, None], weights
        gates = torch.einsum("btphd,bthd->btph", attention.query(placed), attention.key(coded)).sigmoid()
        update = attention.dropout(gates)[..., None] * attention.value(audio)[:, :, None]
        return attention.output(update), gates.transpose(-1, -2)


def _pool_positions(
    attention: StBavaAttention,
    coded: torch.Tensor,
    vision: torch.Tensor,
    placed: torch.Tensor,
    output_attentions: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The sound of a frame attends to that frame's positions: the update `[B, T, C]` and, where asked for, the weights
    `[B, T, H, P]`."""
    batch = vision.shape[:2]
    asked = attention.query(coded).flatten(0, 1)[:, None]
    key, value = (part.flatten(0, 1) for part in (attention.key(placed), attention.value(vision)))
    pooled, weights = attention.attend(asked, key, value, output_attentions=output_attentions)
    weights = weights[:, :, 0].unflatten(0, batch) if output_attentions else None
    return attention.output(pooled[:, 0].unflatten(0, batch)), weights


class StBavaFusion(nn.Module):
    """The stack of blocks. The aligned sound is its own position code in every block and is added once more at the
    end. Nothing in it depends on the number or the order of frames."""

    def __init__(self, config: StBavaConfig):
        super().__init__()
        self.layers = nn.ModuleList(StBavaLayer(config) for _ in range(config.num_fusion_layers))

    def forward(
        self,
        vision: torch.Tensor,
        audio: torch.Tensor,
        positions: torch.Tensor,
        frame_mask: torch.Tensor,
        output_attentions: bool = False,
    ) -> Fused:
        """Fuse `vision [B, T, P, C]` with `audio [B, T, C]`; `positions [P, C]`, `frame_mask` bool `[B, T]`."""
        code, entered, maps = audio, (audio, vision), []
        for layer in self.layers:
            audio, vision, *layer_maps = layer(audio, vision, code, positions, frame_mask, output_attentions)
            maps.append(layer_maps)
        audio = audio + code
        if not output_attentions:
            return Fused(vision, audio)
        kinds = zip(("audio_attentions", "vision_attentions"), zip(*maps, strict=True), strict=True)
        attentions = {name: each for name, each in kinds if each[0] is not None}
        around = {"before_attentions": (_agreement(*entered),), "after_attentions": (_agreement(audio, vision),)}
        return Fused(vision, audio, attentions | around)


def _agreement(audio: torch.Tensor, vision: torch.Tensor) -> torch.Tensor:
    """How well each position agrees with the sound of its frame, `[B, T, 1, P]`, summing to 1 over positions."""
    return (vision @ audio[..., None] / audio.shape[-1] ** 0.5).softmax(2).transpose(2, 3)
