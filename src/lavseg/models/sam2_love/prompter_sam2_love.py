"""What SAM2-LOVE adds to SAM2: a transformer that compresses sound, sentence and frames into one prompt (sec. 3.2)."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_sam2_love import Sam2LoveConfig


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
        self.num_heads = config.num_attention_heads
        self.norm1 = nn.LayerNorm(config.hidden_size)
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key_value = nn.Linear(config.hidden_size, 2 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm2 = nn.LayerNorm(config.hidden_size)
        self.linear1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.linear2 = nn.Linear(config.intermediate_size, config.hidden_size)
        self.activation = ACT2FN[config.hidden_act]

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor | None, num_outputs: int | None) -> torch.Tensor:
        """Update the first `num_outputs` of the tokens `[N, L, d]` (all when None); every token is attended to.

        `mask` is bool `[N, 1, 1, L]`, True where a token may be attended to.
        """
        normed = self.norm1(hidden_states)
        kept = hidden_states[:, :num_outputs]
        query = self.query(normed[:, :num_outputs]).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        key, value = self.key_value(normed).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        kept = kept + self.output(attended.transpose(1, 2).flatten(2))
        return kept + self.linear2(self.activation(self.linear1(self.norm2(kept))))


class Sam2LoveFusion(nn.Module):
    """The fusion transformer. It has no positions of its own: the order of its tokens does not matter (sec. 3.2)."""

    def __init__(self, config: Sam2LoveConfig):
        super().__init__()
        self.layers = nn.ModuleList(Sam2LoveFusionLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size) if config.final_layer_norm else nn.Identity()

    def forward(
        self, tokens: torch.Tensor, mask: torch.Tensor | None = None, num_outputs: int | None = None
    ) -> torch.Tensor:
        """Fuse `[N, L, d]`; `mask` bool `[N, 1, 1, L]`, True where a token may be attended to.

        The last block is computed for the first `num_outputs` tokens only (all when None), which are returned.
        """
        for layer in self.layers[:-1]:
            tokens = layer(tokens, mask, None)
        return self.norm(self.layers[-1](tokens, mask, num_outputs))


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
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Fuse `B` clips with `E` expressions each.

        Args:
            audio: `[B, A, Da]`, one row per patch of 0.96 s; audio_mask: bool `[B, A]`.
            text: `[B, E, P, Dt]`; text_mask: bool `[B, E, P]`.
            frames: `[B, T, 1 + hw, Dv]`, class token first; frame_mask: bool `[B, T]`, real frames first.
            all_real: whether the masks are known to hide nothing: attention is faster without a mask.

        Returns:
            The prompts `[B*E, C]` and, with a presence head, the presence logits `[B*E]`.
        """
        expressions = text.shape[1]
        audio = self._with_time(self.audio_projection(audio)).repeat_interleave(expressions, dim=0)
        frames = self._with_time(self.vision_projection(frames))
        text = self.text_projection(text.flatten(0, 1))
        modality = self.modality_tokens.to(audio.dtype).expand(len(text), 2, -1)
        # [aud] and [vis] close the sound and open the frames; between them stands the sentence (Eq. 3).
        fixed = torch.cat([audio, modality[:, :1], text, modality[:, 1:]], dim=1)
        fixed_mask = self._fixed_mask(audio_mask.repeat_interleave(expressions, dim=0), text_mask.flatten(0, 1))
        if self.config.prompt_pooling == "mean":
            state = self._mean_of_all(fixed, fixed_mask, frames, frame_mask, expressions, all_real)
        else:
            state = self._propagate(fixed, fixed_mask, frames, frame_mask, expressions, all_real)
        presence = None if self.presence is None else self.presence(state)[:, 0]
        return self.projector(state), presence

    def _with_time(self, tokens: torch.Tensor) -> torch.Tensor:
        """Add the time code to `[B, A or T, ..., d]` along axis 1, if there is one."""
        if self.time_embedding is None:
            return tokens
        steps = tokens.shape[1]
        if steps > self.config.max_frames:
            raise ValueError(
                f"the clip has {steps} frames or audio patches, audio_temporal_embedding has codes for "
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
    ) -> torch.Tensor:
        """Hand [seg] from frame to frame (sec. 3.2, token propagation and accumulation). Returns `[N, d]`."""
        seg = self.seg_tokens.expand(len(fixed), -1, -1)
        states = []
        for step in range(frames.shape[1]):
            first = 0 if self.config.accumulate_history else step
            history = frames[:, first : step + 1, 0]
            visual = torch.cat([history, frames[:, step, 1:]], dim=1).repeat_interleave(expressions, dim=0)
            tokens = torch.cat([seg, fixed, visual], dim=1)
            mask = F.pad(fixed_mask, (seg.shape[1], visual.shape[1]), value=True)
            updated = self.fusion(tokens, _attention_mask(mask, all_real), seg.shape[1])
            real = frame_mask[:, step].repeat_interleave(expressions)[:, None, None]
            seg = torch.where(real, updated, seg)
            states.append(seg[:, 0])
        return self._read(torch.stack(states, dim=1), frame_mask.repeat_interleave(expressions, dim=0))

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
        expressions: int,
        all_real: bool,
    ) -> torch.Tensor:
        """Fuse one sequence of all frames and average it (table 5, "mean"). Returns `[N, d]`."""
        visual_mask = frame_mask[:, :, None].expand(-1, -1, frames.shape[2]).flatten(1)
        mask = torch.cat([fixed_mask, visual_mask.repeat_interleave(expressions, dim=0)], dim=1)
        tokens = torch.cat([fixed, frames.flatten(1, 2).repeat_interleave(expressions, dim=0)], dim=1)
        fused = self.fusion(tokens, _attention_mask(mask, all_real))
        weights = mask / mask.sum(1, keepdim=True)
        return torch.einsum("nld,nl->nd", fused, weights.to(fused.dtype))


def _attention_mask(mask: torch.Tensor, all_real: bool) -> torch.Tensor | None:
    """Bool `[N, L]` as an attention mask, or None, the faster form, where nothing is hidden."""
    return None if all_real else mask[:, None, None, :]
