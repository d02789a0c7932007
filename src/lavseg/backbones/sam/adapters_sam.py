"""Adapters that bring the sound of each frame into SAM's image encoder (SAMA-AVS, Liu et al., WACV 2024)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from transformers.models.sam.modeling_sam import SamVisionEncoder

# Frames the encoder takes at a time: one block's attention of a ViT-H at 1024x1024 fills 1 GB per frame.
FRAMES_PER_PASS = 4


class SamAudioAdapters(nn.Module):
    """One audio prompt for each block of the encoder: a layer of the block's own, then one that all blocks share.

    ```python
    adapters = SamAudioAdapters(num_layers=32, audio_size=128, hidden_size=512, vision_size=1280)
    embeddings = adapters(sam.encode, pixel_values, audio)
    ```

    Args:
        num_layers: blocks of the encoder.
        audio_size: channels of the sound's embedding.
        hidden_size: hidden channels of the adapters.
        vision_size: channels of the encoder.
    """

    def __init__(self, num_layers: int, audio_size: int, hidden_size: int, vision_size: int):
        super().__init__()
        self.audio_layers = nn.ModuleList(nn.Linear(audio_size, hidden_size) for _ in range(num_layers))
        self.shared = nn.Linear(hidden_size, vision_size)

    @property
    def linears(self) -> list[nn.Linear]:
        """All its layers."""
        return [*self.audio_layers, self.shared]

    def prompts(self, audio: torch.Tensor) -> torch.Tensor:
        """Audio embeddings `[N, audio_size]` to prompts `[num_layers, N, vision_size]`."""
        return torch.stack([self.shared(F.gelu(layer(audio))) for layer in self.audio_layers])

    def forward(
        self,
        encode: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        pixel_values: torch.Tensor,
        audio: torch.Tensor,
    ) -> torch.Tensor:
        """Encode frames `[N, 3, S, S]` with their sounds `[N, audio_size]` by `encode`, see `SamBackbone.encode`."""
        return encode(pixel_values, self.prompts(audio))


def encode_frames(
    encoder: SamVisionEncoder, pixel_values: torch.Tensor, prompts: torch.Tensor | None = None
) -> torch.Tensor:
    """Image embeddings of `N` frames, each block's input raised by the block's prompt.

    Args:
        encoder: SAM's image encoder.
        pixel_values: `[N, 3, S, S]`.
        prompts: `[num_layers, N, D]`, or None for the plain encoder.

    Returns:
        `[N, C, S / 16, S / 16]`.
    """
    if prompts is None:
        prompts = pixel_values.new_zeros(len(encoder.layers), len(pixel_values), 1, dtype=encoder.dtype)
    parts = zip(pixel_values.split(FRAMES_PER_PASS), prompts.split(FRAMES_PER_PASS, dim=1), strict=True)
    return torch.cat([_encode(encoder, frames, prompt) for frames, prompt in parts])


def _encode(encoder: SamVisionEncoder, pixel_values: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
    hidden_states = encoder.patch_embed(pixel_values.to(encoder.dtype))
    if encoder.pos_embed is not None:
        hidden_states = hidden_states + encoder.pos_embed
    for layer, prompt in zip(encoder.layers, prompts, strict=True):
        hidden_states = layer(hidden_states + prompt[:, None, None])
    return encoder.neck(hidden_states)
