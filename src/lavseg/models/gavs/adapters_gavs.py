"""What GAVS adds to its host: bottlenecks on the MLPs of image encoder and mask decoder, and the sound as a prompt."""

from contextlib import AbstractContextManager
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel, SamModel
from transformers.modeling_layers import GradientCheckpointingLayer

from ...backbones.sam.adapters_sam import encode_frames
from ...backbones.sam2.adapters_sam2 import SentenceAttention, adapted_mlps
from ...backbones.sam2.encoder_sam2 import encode_images


class GavsAdapter(nn.Module):
    """A bottleneck, which the caller adds to its input. Where there is text, its hidden layer attends to it."""

    def __init__(self, width: int, size: int, activation: nn.Module, reads: bool):
        super().__init__()
        self.down = nn.Linear(width, size)
        self.activation = activation
        self.sentence = SentenceAttention(size, 4) if reads else None
        self.up = nn.Linear(size, width)

    def forward(
        self, hidden_states: torch.Tensor, text: torch.Tensor | None, text_mask: torch.Tensor | None
    ) -> torch.Tensor:
        """`[N, ..., C]` to the same shape; `text [N, P, size]`, `text_mask` bool `[N, P]`."""
        squeezed = self.activation(self.down(hidden_states))
        if self.sentence is not None:
            squeezed = self.sentence(squeezed, text, text_mask)
        return self.up(squeezed)


class GavsAudioPrompt(nn.Module):
    """The sound as one prompt token: Linear, ReLU, Linear."""

    def __init__(self, audio_size: int, hidden_size: int, prompt_size: int):
        super().__init__()
        self.linear1 = nn.Linear(audio_size, hidden_size)
        self.linear2 = nn.Linear(hidden_size, prompt_size)

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """`[N, audio_size]` to `[N, 1, prompt_size]`."""
        return self.linear2(F.relu(self.linear1(audio)))[:, None]


class GavsAdapters(GradientCheckpointingLayer):
    """All that is added to a host. Calling it encodes frames; under gradient checkpointing a call is made again in the
    backward pass.

    Args:
        block_widths: channels of the adapted blocks of the image encoder, the last ones.
        decoder_width: channels of the mask decoder.
        decoder_layers: number of its two-way layers.
        size: channels of the bottlenecks.
        audio_sizes: channels of the sound's embedding, and of the hidden layer that turns it into a prompt.
        text_size: channels of the text encoder's states; None for adapters without text.
    """

    def __init__(
        self,
        block_widths: list[int],
        decoder_width: int,
        decoder_layers: int,
        size: int,
        audio_sizes: tuple[int, int],
        text_size: int | None,
    ):
        super().__init__()
        reads = text_size is not None
        self.audio_prompt = GavsAudioPrompt(*audio_sizes, decoder_width)
        self.text_projection = nn.Linear(text_size, size) if reads else None
        self.blocks = nn.ModuleList(GavsAdapter(width, size, nn.ReLU(), reads) for width in block_widths)
        self.decoder = nn.ModuleList(GavsAdapter(decoder_width, size, nn.GELU(), reads) for _ in range(decoder_layers))

    def forward(
        self,
        sam: PreTrainedModel,
        pixel_values: torch.Tensor,
        text: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Frames `[N, 3, S, S]` to SAM's embeddings, see `encode_frames`, or SAM2's maps, see `encode_images`."""
        on_sam = isinstance(sam, SamModel)
        blocks = sam.vision_encoder.layers if on_sam else sam.vision_encoder.backbone.blocks
        with self._adapted(blocks[-len(self.blocks) :], self.blocks, text, text_mask):
            return encode_frames(sam.vision_encoder, pixel_values) if on_sam else encode_images(sam, pixel_values)

    def adapted_decoder(
        self, sam: PreTrainedModel, text: torch.Tensor | None, text_mask: torch.Tensor | None
    ) -> AbstractContextManager[None]:
        """Inside, the two-way layers of the mask decoder of `sam` work with their adapters."""
        return self._adapted(sam.mask_decoder.transformer.layers, self.decoder, text, text_mask)

    def _adapted(
        self,
        blocks: nn.ModuleList,
        adapters: nn.ModuleList,
        text: torch.Tensor | None,
        text_mask: torch.Tensor | None,
    ) -> AbstractContextManager[None]:
        if self.text_projection is not None:
            text = self.text_projection(text)
        return adapted_mlps(blocks, [partial(adapter, text=text, text_mask=text_mask) for adapter in adapters])
