"""What SAM2-LOVE adds to SAM2: a transformer that compresses sound, sentence and frames into one prompt (sec. 3.2)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer

from ...backbones.attention import attend
from ...modeling.outputs import AudioVisualSegmentationOutput
from .configuration_sam2_love import Sam2LoveConfig


@dataclass
class Sam2LoveOutput(AudioVisualSegmentationOutput):
    """[`AudioVisualSegmentationOutput`] with the weights by which the token that becomes the prompt attends to what it
    compresses: one entry per block, the mean over several `[seg]` tokens; with `prompt_pooling="mean"`, where there is
    none, over all tokens.

    Args:
        vision_attentions: `[B, E, T, heads, h, w]`, to the patches of each frame.
        audio_attentions: `[B, E, T, heads, A]`, to the patches of sound, at each frame; with time codes at most
            `max_frames` patches.
        text_attentions: `[B, E, T, heads, P]`, to the words, at each frame.

    ```python
    outputs = model(**inputs, output_attentions=True)
    where_the_last_block_looks = outputs.vision_attentions[-1]
    ```
    """

    attention_maps = ("vision_attentions",)

    vision_attentions: tuple[torch.Tensor, ...] | None = None
    audio_attentions: tuple[torch.Tensor, ...] | None = None
    text_attentions: tuple[torch.Tensor, ...] | None = None


class Sam2LoveMlp(nn.Module):
    """Linear, ReLU, Linear (Eq. 1); also the head that turns [seg] into SAM2's prompt."""

    def __init__(self, in_features: int, hidden_features: int, out_features: int):
        super().__init__()
        self.linear1 = nn.Linear(in_features, hidden_features)
        self.linear2 = nn.Linear(hidden_features, out_features)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`[..., in_features]` to `[..., out_features]`."""
        return self.linear2(F.relu(self.linear1(hidden_states)))


class Sam2LoveFusionLayer(GradientCheckpointingLayer):
    """Pre-norm transformer block (Eq. 2)."""

    def __init__(self, config: Sam2LoveConfig):
        super().__init__()
        self.config = config
        self.num_heads = config.num_attention_heads
        self.norm1 = nn.LayerNorm(config.hidden_size)
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key_value = nn.Linear(config.hidden_size, 2 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm2 = nn.LayerNorm(config.hidden_size)
        self.linear1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.linear2 = nn.Linear(config.intermediate_size, config.hidden_size)
        self.activation = ACT2FN[config.hidden_act]

    def forward(
        self,
        hidden_states: torch.Tensor,
        mask: torch.Tensor | None,
        num_outputs: int | None,
        output_attentions: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Update the first `num_outputs` of the tokens `[N, L, d]` (all when None); every token is attended to.

        `mask` is bool `[N, 1, 1, L]`, True where a token may be attended to. With `output_attentions` the weights come,
        too, `[N, heads, num_outputs, L]`.
        """
        normed = self.norm1(hidden_states)
        kept = hidden_states[:, :num_outputs]
        query = self.query(normed[:, :num_outputs]).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        key, value = self.key_value(normed).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        attended, weights = attend(self, query, key, value, mask, output_attentions=output_attentions)
        kept = kept + self.output(attended.flatten(2))
        return kept + self.linear2(self.activation(self.linear1(self.norm2(kept)))), weights


class Sam2LoveFusion(nn.Module):
    """The fusion transformer. It has no positions of its own: the order of its tokens does not matter (sec. 3.2)."""

    def __init__(self, config: Sam2LoveConfig):
        super().__init__()
        self.layers = nn.ModuleList(Sam2LoveFusionLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size) if config.final_layer_norm else nn.Identity()

    def forward(
        self,
        tokens: torch.Tensor,
        mask: torch.Tensor | None = None,
        num_outputs: int | None = None,
        output_attentions: bool = False,
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Fuse `[N, L, d]`; `mask` bool `[N, 1, 1, L]`, True where a token may be attended to.

        The last block is computed for the first `num_outputs` tokens only (all when None), which are returned. With
        `output_attentions` there come for each block the weights `[N, heads, L]` by which those attend to all tokens,
        their mean.
        """
        attentions = []
        for index, layer in enumerate(self.layers):
            last = index == len(self.layers) - 1
            tokens, weights = layer(tokens, mask, num_outputs if last else None, output_attentions)
            if output_attentions:
                attentions.append(weights[:, :, :num_outputs].mean(2))
        return self.norm(tokens), attentions


class Sam2LovePrompter(nn.Module):
    """Compresses sound, sentence and frames into the token that prompts SAM2 (sec. 3.2)."""

    def __init__(self, config: Sam2LoveConfig):
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.audio_projection = Sam2LoveMlp(config.audio_config.embedding_size, config.projection_size, width)
        self.text_projection = Sam2LoveMlp(config.text_config.hidden_size, config.projection_size, width)
        self.vision_projection = Sam2LoveMlp(config.vision_config.hidden_size, config.projection_size, width)
        self.seg_tokens = nn.Parameter(torch.empty(config.num_seg_tokens, width))
        modality_tokens = torch.stack([torch.zeros(width), torch.ones(width)])
        if config.learn_modality_tokens:
            self.modality_tokens = nn.Parameter(modality_tokens)
        else:
            self.register_buffer("modality_tokens", modality_tokens)
        self.fusion = Sam2LoveFusion(config)
        self.projector = Sam2LoveMlp(width, width, config.sam2_config.mask_decoder_config.hidden_size)
        self.time_embedding = nn.Embedding(config.max_frames, width) if config.audio_temporal_embedding else None
        self.readout = nn.Linear(width, 1) if config.seg_readout == "attention" else None
        self.presence = nn.Linear(width, 1) if config.presence_head else None

    def forward(
        self,
        audio: torch.Tensor,
        text: torch.Tensor,
        frames: torch.Tensor,
        audio_mask: torch.Tensor,
        text_mask: torch.Tensor,
        frame_mask: torch.Tensor,
        all_real: bool = False,
        output_attentions: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None, dict[str, tuple[torch.Tensor, ...]]]:
        """Fuse `B` clips with `E` expressions each.

        Args:
            audio: `[B, A, Da]`, one row per patch of 0.96 s; audio_mask: bool `[B, A]`. With time codes what
                comes after `max_frames` patches is left out.
            text: `[B, E, P, Dt]`; text_mask: bool `[B, E, P]`.
            frames: `[B, T, 1 + hw, Dv]`, class token first; frame_mask: bool `[B, T]`, real frames first.
            all_real: whether the masks are known to hide nothing: attention is faster without a mask.
            output_attentions: give attention maps.

        Returns:
            The prompts `[B*E, C]`; with a presence head, the presence logits `[B*E]`; where asked for, by which weights
            each block attends to what: `vision_attentions [B*E, T, heads, hw]`, `audio_attentions [B*E, T, heads, A]`,
            of the patches that are not left out, and `text_attentions [B*E, T, heads, P]`.
        """
        expressions = text.shape[1]
        if self.time_embedding is not None:
            # Sound may last a little longer than the frames.
            audio, audio_mask = (each[:, : self.config.max_frames] for each in (audio, audio_mask))
        audio = self._with_time(self.audio_projection(audio)).repeat_interleave(expressions, dim=0)
        frames = self._with_time(self.vision_projection(frames))
        text = self.text_projection(text.flatten(0, 1))
        modality = self.modality_tokens.to(audio.dtype).expand(len(text), 2, -1)
        # [aud] and [vis] close the sound and open the frames; between them stands the sentence (Eq. 3).
        fixed = torch.cat([audio, modality[:, :1], text, modality[:, 1:]], dim=1)
        fixed_mask = self._fixed_mask(audio_mask.repeat_interleave(expressions, dim=0), text_mask.flatten(0, 1))
        sequence = (fixed, fixed_mask, frames, frame_mask)
        if self.config.prompt_pooling == "mean":
            state, attentions = self._mean_of_all(*sequence, audio.shape[1], all_real, output_attentions)
        else:
            state, attentions = self._propagate(*sequence, expressions, all_real, output_attentions)
        presence = None if self.presence is None else self.presence(state)[:, 0]
        maps = self._split(attentions, audio.shape[1], text.shape[1], frames.shape[2] - 1)
        return self.projector(state), presence, maps if output_attentions else {}

    def _split(
        self, attentions: list[list[torch.Tensor]], num_patches: int, num_words: int, num_positions: int
    ) -> dict[str, tuple[torch.Tensor, ...]]:
        """Weights of `[seg]` on its tokens, `[N, heads, L]` for each frame and block, by what the tokens are of."""
        first_word = num_patches + 1  # after [aud]
        places = {
            "audio_attentions": slice(0, num_patches),
            "text_attentions": slice(first_word, first_word + num_words),
            "vision_attentions": slice(-num_positions, None),
        }
        blocks = list(zip(*attentions, strict=True))
        return {
            name: tuple(torch.stack([weights[..., place] for weights in frames], dim=1) for frames in blocks)
            for name, place in places.items()
        }

    def _with_time(self, tokens: torch.Tensor) -> torch.Tensor:
        """Add the time code to `[B, A or T, ..., d]` along axis 1, if there is one."""
        if self.time_embedding is None:
            return tokens
        steps = tokens.shape[1]
        if steps > self.config.max_frames:
            raise ValueError(
                f"pixel_values: a clip has {steps} frames, audio_temporal_embedding has codes for "
                f"{self.config.max_frames}: cut the clip, or raise max_frames in the configuration and train anew"
            )
        code = self.time_embedding(torch.arange(steps, device=tokens.device))
        return tokens + code.view(1, steps, *[1] * (tokens.dim() - 3), -1)

    def _fixed_mask(self, audio_mask: torch.Tensor, text_mask: torch.Tensor) -> torch.Tensor:
        if not self.config.mask_text_padding:
            text_mask = torch.ones_like(text_mask)
        always = text_mask.new_ones(len(text_mask), 1)
        return torch.cat([audio_mask, always, text_mask, always], dim=1)

    def _propagate(
        self,
        fixed: torch.Tensor,
        fixed_mask: torch.Tensor,
        frames: torch.Tensor,
        frame_mask: torch.Tensor,
        expressions: int,
        all_real: bool,
        output_attentions: bool,
    ) -> tuple[torch.Tensor, list[list[torch.Tensor]]]:
        """Hand [seg] from frame to frame (sec. 3.2, token propagation and accumulation). Returns `[N, d]`, and where
        asked for the weights of [seg] on what follows it, of each frame and block."""
        seg = self.seg_tokens.expand(len(fixed), -1, -1)
        states, attentions = [], []
        for step in range(frames.shape[1]):
            history = frames[:, : step + 1 if self.config.accumulate_history else 0, 0]
            visual = torch.cat([history, frames[:, step, 1:]], dim=1).repeat_interleave(expressions, dim=0)
            tokens = torch.cat([seg, fixed, visual], dim=1)
            mask = F.pad(fixed_mask, (seg.shape[1], visual.shape[1]), value=True)
            updated, weights = self.fusion(tokens, _attention_mask(mask, all_real), seg.shape[1], output_attentions)
            attentions.append([each[..., seg.shape[1] :] for each in weights])
            real = frame_mask[:, step].repeat_interleave(expressions)[:, None, None]
            seg = torch.where(real, updated, seg)
            states.append(seg[:, 0])
        return self._read(torch.stack(states, dim=1), frame_mask.repeat_interleave(expressions, dim=0)), attentions

    def _read(self, states: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
        """Reduce the [seg] states of all frames `[N, T, d]` to `[N, d]`."""
        if self.config.seg_readout == "last":
            return states[:, -1]
        if self.config.seg_readout == "mean":
            weights = frame_mask / frame_mask.sum(1, keepdim=True)
        else:
            weights = self.readout(states)[..., 0].masked_fill(~frame_mask, -math.inf).softmax(-1)
        return torch.einsum("ntd,nt->nd", states, weights.to(states.dtype))

    def _mean_of_all(
        self,
        fixed: torch.Tensor,
        fixed_mask: torch.Tensor,
        frames: torch.Tensor,
        frame_mask: torch.Tensor,
        num_patches: int,
        all_real: bool,
        output_attentions: bool,
    ) -> tuple[torch.Tensor, list[list[torch.Tensor]]]:
        """Fuse one sequence of all frames and average what `prompt_pooling` says of it. Returns `[N, d]`, and where
        asked for the mean weights on what is fixed and on each frame, of each block."""
        if not self.config.accumulate_history:
            frames = frames[:, :, 1:]
        expressions, (num_frames, num_positions) = len(fixed) // len(frames), frames.shape[1:3]
        visual_mask = frame_mask[:, :, None].expand(-1, -1, num_positions).flatten(1)
        mask = torch.cat([fixed_mask, visual_mask.repeat_interleave(expressions, dim=0)], dim=1)
        tokens = torch.cat([fixed, frames.flatten(1, 2).repeat_interleave(expressions, dim=0)], dim=1)
        fused, weights = self.fusion(tokens, _attention_mask(mask, all_real), output_attentions=output_attentions)
        split = [each.split([fixed.shape[1], *[num_positions] * num_frames], dim=-1) for each in weights]
        attentions = [[torch.cat([each[0], each[1 + step]], dim=-1) for each in split] for step in range(num_frames)]
        averaged = mask.clone()
        averaged[:, num_patches] = averaged[:, fixed.shape[1] - 1] = False  # [aud] and [vis]
        if self.config.accumulate_history:
            averaged[:, fixed.shape[1] :: num_positions] = False  # class tokens
        shares = averaged / averaged.sum(1, keepdim=True)
        return torch.einsum("nld,nl->nd", fused, shares.to(fused.dtype)), attentions


def _attention_mask(mask: torch.Tensor, all_real: bool) -> torch.Tensor | None:
    """Bool `[N, L]` as an attention mask, or None, the faster form, where nothing is hidden."""
    return None if all_real else mask[:, None, None, :]
