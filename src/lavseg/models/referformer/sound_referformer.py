"""How ReferFormer hears, which is this package's own: nothing is published of the variant with sound. Its two ways in
start at zero, so that a model with sound starts as the one without."""

import torch
from torch import nn

from ...backbones.attention import MultiheadAttention
from .configuration_referformer import ReferFormerConfig
from .text_referformer import ReferFormerProjection, word_positions


class ReferFormerSound(nn.Module):
    """Embeddings of the second of sound of each frame at the model's width, and what each adds to its frame's
    queries."""

    def __init__(self, config: ReferFormerConfig):
        super().__init__()
        self.projection = ReferFormerProjection(config.audio_config.embedding_size, config)
        self.query = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self, embeddings: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """From embeddings `[B, T, D]` and which are real, bool `[B, T]`: what queries get `[B, T, C]`; and sounds
        `[B, T, C]` with their codes and mask."""
        sounds = self.projection(embeddings)
        return self.query(sounds), (sounds, word_positions(mask, sounds.shape[-1], sounds.dtype), mask)


class ReferFormerSoundFusion(nn.Module):
    """What each pixel reads from all sounds of its clip."""

    def __init__(self, config: ReferFormerConfig):
        super().__init__()
        self.attention = MultiheadAttention(config, config.hidden_size, config.num_attention_heads)

    def forward(
        self, tokens: torch.Tensor, sounds: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Pixels `[N, L, C]` read `sounds [N, T, C]` with codes `positions`, those that `mask` bool `[N, T]` shows;
        the same shape as the pixels."""
        return self.attention(tokens, sounds + positions, mask, values=sounds)


__all__ = ["ReferFormerSound", "ReferFormerSoundFusion"]
