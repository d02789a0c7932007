"""AuralFuser: three levels of SAM2's frame features, sound and text become prompts of the mask decoder."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoPositionEmbeddingSine, get_1d_sine_pe

from ...backbones.attention import attend
from ...modeling.outputs import AudioVisualSegmentationOutput
from .configuration_aural_sam2 import AuralSam2Config


@dataclass
class AuralSam2Output(AudioVisualSegmentationOutput):
    """As [`AudioVisualSegmentationOutput`], with a class head the classes, and the weights of the cross fusion at each
    of its levels.

    Args:
        audio_attentions: `[B, E, T, 1, e, e]`, by which the sound of a frame attends to the frame's positions. It
            attends to all frames; over them the weights sum to 1.
        vision_attentions: `[B, E, T, 1, e, e]`, by which each position attends to the sound of its frame.
        text_attentions: `[B, E, T, 1, e, e]`, by which each position attends to the words, all together.
        class_logits: float `[B, K + 1, T, S/16, S/16]`, background first. They hold inside the mask only: see
            `AuralSam2Processor.post_process_semantic_segmentation`.

    ```python
    outputs = model(**inputs)
    classes = processor.post_process_semantic_segmentation(outputs, inputs["original_sizes"])
    ```
    """

    logit_maps = ("pred_masks", "class_logits")
    attention_maps = ("audio_attentions", "vision_attentions", "text_attentions")

    audio_attentions: tuple[torch.Tensor, ...] | None = None
    vision_attentions: tuple[torch.Tensor, ...] | None = None
    text_attentions: tuple[torch.Tensor, ...] | None = None
    class_logits: torch.Tensor | None = None


@dataclass(frozen=True)
class FusedLevel:
    """One level's features of `N` objects, `P = (S/16)^2` positions per frame, `M` audio and text tokens.

    `frames [N, T, P, C]` and `tokens [N, M, C]` prompt the decoder; `frame_attention [N, T, P, C]` is what the cross
    fusion added to the frames, before residual and normalisation. `attentions` are maps `[N, T, P]` by name, see
    `AuralSam2Output`, where they were asked for.
    """

    frames: torch.Tensor
    tokens: torch.Tensor
    frame_attention: torch.Tensor
    attentions: dict[str, torch.Tensor] = field(default_factory=dict)


def _convolve(convolution: nn.Conv2d, tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Convolve tokens `[N, P, C]` laid out on a grid.

    `permute` makes a map whose channels come last whatever `N`; `transpose` does not for `N = 1`, and the convolution
    then takes ten times as long on a CPU.
    """
    return convolution(tokens.unflatten(1, grid).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(1, 2)


class AuralSam2Attention(nn.Module):
    """Self-attention; on frames, keys and values are read from patches of `reduction_ratio` (PVT v2)."""

    def __init__(self, config: AuralSam2Config, on_frames: bool):
        super().__init__()
        width = config.hidden_size
        self.config = config
        self.num_heads = config.num_attention_heads
        self.dropout = config.dropout
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        if on_frames:
            self.reduction = nn.Conv2d(width, width, config.reduction_ratio, config.reduction_ratio)
            self.reduction_norm = nn.LayerNorm(width)

    def forward(
        self, hidden_states: torch.Tensor, grid: tuple[int, int] | None = None, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """`[N, L, C]` to the same shape; `grid` and `mask` as in [`AuralSam2Block`]."""
        source = hidden_states
        if grid is not None:
            source = self.reduction_norm(_convolve(self.reduction, hidden_states, grid))
        query = self.query(hidden_states).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        key, value = self.key_value(source).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        attended, _ = attend(self, query, key, value, mask, dropout=self.dropout)
        return self.output(attended.flatten(2))


class AuralSam2Block(GradientCheckpointingLayer):
    """Pre-norm transformer block; on frames with a reduced attention and a depthwise convolution in its MLP."""

    def __init__(self, config: AuralSam2Config, on_frames: bool):
        super().__init__()
        width = config.hidden_size
        self.norm1 = nn.LayerNorm(width)
        self.attention = AuralSam2Attention(config, on_frames)
        self.norm2 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, config.mlp_ratio * width)
        self.linear2 = nn.Linear(config.mlp_ratio * width, width)
        if on_frames:
            inner = self.linear1.out_features
            self.depthwise = nn.Conv2d(inner, inner, kernel_size=3, padding=1, groups=inner)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, hidden_states: torch.Tensor, grid: tuple[int, int] | None = None, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Update `[N, L, C]`; `grid` is the `(h, w)` of frames, `mask` bool, True where a token may be attended to."""
        attended = self.attention(self.norm1(hidden_states), grid, mask)
        hidden_states = hidden_states + self.dropout(attended)
        inner = self.linear1(self.norm2(hidden_states))
        if grid is not None:
            inner = _convolve(self.depthwise, inner, grid)
        return hidden_states + self.dropout(self.linear2(self.dropout(F.gelu(inner))))


class AuralSam2BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of `[..., C]` with statistics over all axes but the last."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`[..., C]` to the same shape."""
        return super().forward(hidden_states.flatten(0, -2)).view_as(hidden_states)


class AuralSam2CrossFusion(nn.Module):
    """Lets every position of every frame attend to all tokens of the clip, and every token to all positions."""

    def __init__(self, config: AuralSam2Config):
        super().__init__()
        width, inner = config.hidden_size, config.fusion_size
        self.config = config
        self.as_released = config.behavior == "release"
        self.align = nn.Linear(width, width)
        self.frame_query, self.frame_key, self.frame_value = (nn.Linear(width, inner) for _ in range(3))
        self.token_query, self.token_key, self.token_value = (nn.Linear(width, inner) for _ in range(3))
        self.frame_output, self.token_output = nn.Linear(inner, width), nn.Linear(inner, width)
        self.frame_batch_norm, self.token_batch_norm = AuralSam2BatchNorm(width), AuralSam2BatchNorm(width)
        self.frame_norm, self.token_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(
        self,
        frames: torch.Tensor,
        tokens: torch.Tensor,
        mask: torch.Tensor | None,
        output_attentions: bool = False,
    ) -> FusedLevel:
        """Fuse `frames [N, T, P, C]` with `tokens [N, M, C]`; `mask` bool `[N, 1, 1, M]` hides tokens."""
        tokens, attentions = self.align(tokens), {}
        if self.as_released:
            of_frames, of_tokens = self._without_softmax(frames, tokens)
        else:
            of_frames, of_tokens, attentions = self._with_softmax(frames, tokens, mask, output_attentions)
        frame_attention = self.frame_batch_norm(self.frame_output(of_frames))
        token_attention = self.token_batch_norm(self.token_output(of_tokens))
        return FusedLevel(
            self.frame_norm(frames + frame_attention),
            self.token_norm(tokens + token_attention),
            frame_attention,
            attentions,
        )

    def _without_softmax(self, frames: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`q k^T v / (T P)`, multiplied from the right, so that no map of positions by tokens is formed.

        The released code takes `[T, c, P]` for `[T P, c]` on the way in, and `[c, T P]` for `[T, c, P]` and `[c, M]`
        for `[M, c]` on the way out. Checkpoints are trained with that.
        """
        num_frames, positions = frames.shape[1:3]
        query, key, value = (
            layer(frames).transpose(2, 3).reshape(len(frames), num_frames * positions, -1)
            for layer in (self.frame_query, self.frame_key, self.frame_value)
        )
        scale = 1 / (num_frames * positions)
        of_frames = query @ (self.token_key(tokens).transpose(1, 2) @ self.token_value(tokens) * scale)
        of_frames = of_frames.transpose(1, 2).reshape(len(frames), num_frames, -1, positions).transpose(2, 3)
        of_tokens = self.token_query(tokens) @ (key.transpose(1, 2) @ value * scale)
        return of_frames, of_tokens.transpose(1, 2).reshape(of_tokens.shape)

    def _with_softmax(
        self, frames: torch.Tensor, tokens: torch.Tensor, mask: torch.Tensor | None, output_attentions: bool
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        flat = frames.flatten(1, 2)
        of_frames, to_tokens = attend(
            self,
            self.frame_query(flat)[:, None],
            self.token_key(tokens)[:, None],
            self.token_value(tokens)[:, None],
            mask,
            output_attentions=output_attentions,
        )
        of_tokens, to_frames = attend(
            self,
            self.token_query(tokens)[:, None],
            self.frame_key(flat)[:, None],
            self.frame_value(flat)[:, None],
            output_attentions=output_attentions,
        )
        attentions = _maps(to_tokens[:, 0], to_frames[:, 0], frames.shape[1]) if output_attentions else {}
        return of_frames[:, :, 0].view(*frames.shape[:3], -1), of_tokens[:, :, 0], attentions


def _maps(to_tokens: torch.Tensor, to_frames: torch.Tensor, num_frames: int) -> dict[str, torch.Tensor]:
    """Maps `[N, T, P]` from the weights of positions on tokens `[N, T P, M]` and of tokens on positions `[N, M, T P]`;
    the first `T` tokens are the sounds of the frames."""
    heard = to_frames[:, :num_frames].unflatten(-1, (num_frames, -1))
    seen = to_tokens.unflatten(1, (num_frames, -1))
    maps = {
        "audio_attentions": heard.diagonal(dim1=1, dim2=2).transpose(1, 2),
        "vision_attentions": seen[..., :num_frames].diagonal(dim1=1, dim2=3).transpose(1, 2),
    }
    if seen.shape[-1] > num_frames:
        maps["text_attentions"] = seen[..., num_frames:].sum(-1)
    return maps


class AuralSam2FusionLevel(nn.Module):
    """Self-attention of frames and tokens at one level, then cross fusion."""

    def __init__(self, config: AuralSam2Config, level: int):
        super().__init__()
        width, stride = config.hidden_size, 2 ** (3 - level)
        self.patch_embed = nn.Conv2d(width, width, stride, stride)
        self.smooth = nn.Linear(width, width) if level > config.pyramid_levels[0] else None
        self.frame_blocks = nn.ModuleList(AuralSam2Block(config, True) for _ in range(config.visual_depths[level - 1]))
        self.token_blocks = nn.ModuleList(AuralSam2Block(config, False) for _ in range(config.token_depths[level - 1]))
        self.fusion = AuralSam2CrossFusion(config)

    def attend_within_frames(self, frames: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """Update `[N, T, P, C]`; on a CPU frame by frame, so that what is computed of a frame stays in the cache."""
        flat = frames.flatten(0, 1)
        done = []
        for piece in flat.split(1) if flat.device.type == "cpu" else [flat]:
            for block in self.frame_blocks:
                piece = block(piece, grid)
            done.append(piece)
        return torch.cat(done).view_as(frames)


def _head(config: AuralSam2Config) -> nn.Sequential:
    """Projects fused features `[..., C]` for the contrastive loss."""
    width, size = config.hidden_size, config.projection_size
    if config.behavior == "paper":
        hidden = (nn.Linear(width, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        return nn.Sequential(*hidden, nn.Linear(width, size))
    hidden = (nn.GELU(), nn.LayerNorm(size)) if config.use_text else (AuralSam2BatchNorm(size),)
    return nn.Sequential(nn.Linear(width, size), *hidden, nn.Linear(size, size))


class AuralSam2Fuser(nn.Module):
    """Fuses frames with sound and text, level by level from stride 4 to stride 16 (sec. 3.2)."""

    def __init__(self, config: AuralSam2Config):
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.frame_positions = Sam2VideoPositionEmbeddingSine(num_position_features=width // 2, normalize=True)
        self.levels = nn.ModuleList(AuralSam2FusionLevel(config, level) for level in config.pyramid_levels)
        self.text_projection = None
        if config.use_text:
            self.text_projection = nn.Sequential(
                nn.Linear(config.text_config.hidden_size, config.text_projection_size),
                nn.GELU(),
                nn.Linear(config.text_projection_size, width),
            )
        self.frame_head, self.token_head = _head(config), _head(config)

    def embed_patches(self, maps: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
        """Bring the neck's maps at strides 4, 8, 16, `[n, C, ., .]`, to the grid of stride 16.

        Returns:
            `[n, P, C]` for each level that is fused.
        """
        used = (maps[level - 1] for level in self.config.pyramid_levels)
        return [
            layer.patch_embed(level_map).flatten(2).transpose(1, 2)
            for layer, level_map in zip(self.levels, used, strict=True)
        ]

    def forward(
        self,
        patches: list[torch.Tensor],
        audio: torch.Tensor,
        text: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
        output_attentions: bool = False,
    ) -> list[FusedLevel]:
        """Fuse `B` clips of `T` frames with `E` sentences each (one without text).

        Args:
            patches: `[B, T, P, C]` of each level, from `embed_patches`.
            audio: `[B, T, C]`, left and right embeddings of the sound at each frame.
            text: `[B, E, L, Dt]`, states of the text encoder; text_mask: bool `[B, E, L]`, False for padding.
            output_attentions: give attention maps.

        Returns:
            The features of the `N = B E` objects at each level, with `M = T + L` tokens of which the first `T` are
            the sound's.
        """
        expressions = 1 if text is None else text.shape[1]
        start = audio.repeat_interleave(expressions, dim=0)
        if text is not None:
            start = torch.cat([start, self.text_projection(text.flatten(0, 1))], dim=1)
        mask = self._token_mask(start, text_mask)
        token_code = self._token_code(start)
        edge = round(patches[0].shape[2] ** 0.5)
        shape = torch.Size((1, start.shape[-1], edge, edge))
        frame_code = self.frame_positions(shape, start.device, torch.float32).flatten(2).transpose(1, 2)
        frame_code = frame_code.to(start.dtype)

        fused, tokens = [], start
        for level, frames in zip(self.levels, patches, strict=True):
            if fused:
                frames = level.smooth(frames.repeat_interleave(expressions, dim=0) + fused[-1].frames)
                tokens = fused[-1].tokens if self.config.behavior == "release" else start
            frames, tokens = frames + frame_code, tokens + token_code
            for block in level.token_blocks:
                tokens = block(tokens, mask=mask)
            frames = level.attend_within_frames(frames, grid=(edge, edge)) + frame_code
            if not fused:
                frames = frames.repeat_interleave(expressions, dim=0)
            fused.append(level.fusion(frames, tokens + token_code, mask, output_attentions))
        return fused

    def _token_code(self, tokens: torch.Tensor) -> torch.Tensor:
        """Position code of the tokens `[M, C]`; as released that of a sequence of length one, so one for all."""
        width = tokens.shape[-1]
        if self.config.behavior == "release":
            return (torch.arange(width, device=tokens.device) % 2).to(tokens.dtype)
        places = torch.arange(tokens.shape[1], device=tokens.device, dtype=torch.float32)
        return get_1d_sine_pe(places, width).to(tokens.dtype)

    def _token_mask(self, tokens: torch.Tensor, text_mask: torch.Tensor | None) -> torch.Tensor | None:
        """Bool `[N, 1, 1, M]`, False for padded text; None where nothing is hidden."""
        if text_mask is None or self.config.behavior == "release":
            return None
        text_mask = text_mask.flatten(0, 1)
        sound = text_mask.new_ones(len(tokens), tokens.shape[1] - text_mask.shape[1])
        return torch.cat([sound, text_mask], dim=1)[:, None, None]

    def contrastive_features(self, level: FusedLevel, num_frames: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What the contrastive loss compares: unit vectors `[N, T, P, c]` of positions and `[N, T, c]` of sounds.

        The released code with text takes the attention term for the frames and normalises it over positions.
        """
        sound = F.normalize(self.token_head(level.tokens[:, :num_frames]), dim=-1)
        if self.config.behavior == "release" and self.config.use_text:
            return F.normalize(self.frame_head(level.frame_attention), dim=2), sound
        return F.normalize(self.frame_head(level.frames), dim=-1), sound
