"""What R2VOS adds to ReferFormer to tell a sentence whose object is in a clip from one whose object is not (Li et al.,
"Robust Referring Video Object Segmentation with Cyclic Structural Consensus", ICCV 2023)."""

import torch
from torch import nn
from transformers import initialization as init

from ...backbones.attention import MultiheadAttention
from ...modeling.initialization import init_attention, init_linear
from .configuration_referformer import ReferFormerConfig
from .transformer_referformer import ReferFormerMLP

NUM_LAYERS = 3
# Every object is present until the classifier has learnt what absent ones look like.
_BIAS = -2.0


class ReferFormerTextDecoderLayer(nn.TransformerDecoderLayer):
    """PyTorch's, whose attention goes through Transformers' switch."""

    def __init__(self, config: ReferFormerConfig):
        width, heads = config.hidden_size, config.num_attention_heads
        super().__init__(width, heads, config.intermediate_size, config.dropout, batch_first=True)
        self.self_attn = MultiheadAttention(config, width, heads, config.dropout)
        self.multihead_attn = MultiheadAttention(config, width, heads, config.dropout)

    def forward(self, states: torch.Tensor, memory: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Update `states [N, Q, C]` by `memory [N, L, C]`, as far as `mask` bool `[N, L]` shows it, or by all of it."""
        states = self.norm1(states + self.dropout1(self.self_attn(states, states)))
        states = self.norm2(states + self.dropout2(self.multihead_attn(states, memory, mask)))
        return self.norm3(states + self._ff_block(states))


class ReferFormerAbsence(nn.Module):
    """A sentence is made anew from what pixels that have read the true one show. Both together say whether the object
    is absent, and change the content of the queries, here by nothing at first."""

    def __init__(self, config: ReferFormerConfig):
        super().__init__()
        width = config.hidden_size
        self.query = nn.Embedding(1, width)
        self.layers = nn.ModuleList(ReferFormerTextDecoderLayer(config) for _ in range(NUM_LAYERS))
        self.norm = nn.LayerNorm(width)
        self.mixer = nn.Linear(2 * width, width)
        self.mixer_norm = nn.LayerNorm(width, eps=1e-12)
        self.classifier = ReferFormerMLP(2 * width, width, width, 1)

    def forward(
        self, sentences: torch.Tensor, pixels: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What sentences `[B, C]` become for the queries, of their shape, and logits `[B]` of the object's absence.

        Args:
            sentences: `[B, C]`.
            pixels: `[B, T h w, C]`, of each clip at stride 32, which have read the words.
            positions: their codes `[B, C, h, w]`, the same in every frame.
            mask: bool `[B, T, h, w]`, which of them are no padding; all when None.
        """
        codes = positions.flatten(2).mT[:, None]
        memory = (pixels.unflatten(1, (-1, codes.shape[2])) + codes).flatten(1, 2)
        mask = None if mask is None else mask.flatten(1)
        states = self.query(torch.zeros(len(sentences), 1, dtype=torch.long, device=sentences.device))
        for layer in self.layers:
            states = layer(states, memory, mask)
        pair = torch.cat([sentences, self.norm(states)[:, 0]], dim=-1)
        return sentences + self.mixer_norm(self.mixer(pair)), self.classifier(pair)[:, 0]


def init_absence(module: ReferFormerAbsence) -> None:
    """As PyTorch draws layers, but for the way into the queries, which is zero."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            init_linear(part)
    for part in module.modules():
        if isinstance(part, MultiheadAttention):
            init_attention(part)
    init.normal_(module.query.weight)
    init.zeros_(module.mixer_norm.weight)
    init.constant_(module.classifier.layers[-1].bias, _BIAS)


__all__ = ["ReferFormerAbsence", "init_absence"]
