"""EEMC's fusion: cues of sound, image and text, with what was before them, become prompts of the host's queries."""

import torch
from torch import nn

from ...backbones.attention import MultiheadAttention, attend
from .configuration_eemc import EemcConfig

_QUERY_HEADS = 4


def cached_memory(rows: torch.Tensor, with_present: bool) -> torch.Tensor:
    """Rows `[N, T, ...]` plus what each has over the mean of the rows before it, or of all up to it `with_present`. The
    first has none before it."""
    sums = rows.cumsum(1)
    counts = torch.arange(rows.shape[1], device=rows.device, dtype=rows.dtype)
    counts, sums = (counts + 1, sums) if with_present else (counts.clamp(min=1), sums - rows)
    return 2 * rows - sums / counts.view(-1, *[1] * (rows.dim() - 2))


def _mlp(width: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, out))


class EemcFusion(nn.Module):
    """From the coarsest maps of clips, their sounds and sentences to prompts of each frame.

    Axes: `N` pairs of clip and sentence, `T` frames, `A` seconds of sound, `P` words, `L = A + P + h * w + 2` cues of a
    frame.
    """

    def __init__(self, config: EemcConfig):
        super().__init__()
        self.config = config
        width, hidden = config.fusion_size, config.intermediate_size
        self.release = config.behavior == "release"
        self.audio_proj = _mlp(config.audio_config.embedding_size, hidden, width)
        self.text_proj = _mlp(config.text_config.hidden_size, hidden, width)
        self.prompt_proj = _mlp(width, hidden, config.mask2former_config.hidden_dim)
        self.audio_text, self.image_text, self.integration = (
            MultiheadAttention(config, width, config.num_attention_heads) for _ in range(3)
        )

    def attentions(self) -> list[nn.Module]:
        """What the release leaves as it was drawn."""
        return [self.audio_text, self.image_text, self.integration]

    def cues(self, maps: torch.Tensor, audio: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Cues `[N, T, L, D]` of a clip: of sound, a row of 0, of the image, a row of 1, of words.

        Args:
            maps: `[T, D, h, w]`, of one clip.
            audio: `[A, d]`, its embeddings of sound.
            text: `[N, P, e]`, states of the words of `N` sentences about it.
        """
        count, frames = len(text), len(maps)
        # In memory, a row of the release is some seven channels at all positions.
        image = (
            maps.reshape(1, -1, maps.shape[1]) if self.release else maps.flatten(2).transpose(1, 2).flatten(0, 1)[None]
        )
        text = self.text_proj(text)
        audio, image = (part.expand(count, -1, -1) for part in (self.audio_proj(audio)[None], image))
        audio, from_audio = _attend_to_text(self.audio_text, audio, text)
        image, from_image = _attend_to_text(self.image_text, image, text)
        text = (text + from_audio + from_image) / 3
        audio = cached_memory(audio, self.release)
        by_frame = (frames, -1)
        if self.release:
            image = cached_memory(image, True).unflatten(1, by_frame)
        else:
            image = cached_memory(image.unflatten(1, by_frame), False)
        audio, text = (part[:, None].expand(-1, frames, -1, -1) for part in (audio, text))
        marks = (image.new_full((count, frames, 1, image.shape[-1]), value) for value in (0, 1))
        return torch.cat([audio, next(marks), image, next(marks), text], dim=2)

    def integrate(self, cues: torch.Tensor) -> torch.Tensor:
        """Cues `[N, T, L, D]` after those that belong together attended to one another, in the same shape."""
        if not self.release:
            sets = cues.flatten(0, 1)
            return self.integration(sets, sets).view_as(cues)
        if self.config.across_clips:
            flat = cues.flatten(1, 2).transpose(0, 1)
            return self.integration(flat, flat).transpose(0, 1).reshape_as(cues)
        alone = cues.reshape(-1, 1, cues.shape[-1])
        return self.integration(alone, alone).view_as(cues)

    def prompts(self, cues: torch.Tensor) -> torch.Tensor:
        """Prompts `[N, T, L, C]` from cues `[N, T, L, D]`."""
        return self.prompt_proj(self.integrate(cues))


def _attend_to_text(
    attention: nn.Module, tokens: torch.Tensor, text: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both after they attended to each other and themselves as one sequence."""
    sequence = torch.cat([tokens, text], dim=1)
    return attention(sequence, sequence).split([tokens.shape[1], text.shape[1]], dim=1)


class EemcQueryAttention(nn.Module):
    """Queries of the host ask the prompts; their answer and the mean of the prompts are added, as far as two gates let
    them in."""

    def __init__(self, config: EemcConfig):
        super().__init__()
        self.config = config
        width = config.mask2former_config.hidden_dim
        self.query_embedding, self.key_embedding, self.value_embedding, self.out_projection = (
            nn.Linear(width, width) for _ in range(4)
        )
        self.beta_source_pool = nn.Parameter(torch.ones(1))
        self.beta_source_attn = nn.Parameter(torch.ones(1))

    def forward(self, queries: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
        """`queries [N, Q, C]` and `prompts [N, L, C]` to prompted queries `[N, Q, C]`."""
        parts = self.query_embedding(queries), self.key_embedding(prompts), self.value_embedding(prompts)
        heads = (part.unflatten(-1, (_QUERY_HEADS, -1)).transpose(1, 2) for part in parts)
        answers = self.out_projection(attend(self, *heads)[0].flatten(2))
        pooled = prompts.mean(1, keepdim=True)
        return queries + self.beta_source_attn.sigmoid() * answers + self.beta_source_pool.sigmoid() * pooled
