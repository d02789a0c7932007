"""What GAVS adds to its host: bottlenecks on the MLPs of image encoder and mask decoder, and the sound as a prompt."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from ...backbones.sam2.adapters_sam2 import SentenceAttention
from .configuration_gavs import SENTENCE_HEADS


class GavsAdapter(nn.Module):
    """A bottleneck, which the caller adds to its input. Where there is text, its hidden layer attends to it."""

    def __init__(self, config: PreTrainedConfig, width: int, size: int, activation: nn.Module, reads: bool):
        super().__init__()
        self.down = nn.Linear(width, size)
        self.activation = activation
        self.sentence = SentenceAttention(config, size, SENTENCE_HEADS) if reads else None
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
        config: says which implementation of attention.
        block_widths: channels of the adapted blocks of the image encoder, the last ones.
        decoder_width: channels of the mask decoder.
        decoder_layers: number of its two-way layers.
        size: channels of the bottlenecks.
        audio_sizes: channels of the sound's embedding, and of the hidden layer that turns it into a prompt.
        text_size: channels of the text encoder's states; None for adapters without text.
    """

    def __init__(
        self,
        config: PreTrainedConfig,
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
        self.blocks = nn.ModuleList(GavsAdapter(config, width, size, nn.ReLU(), reads) for width in block_widths)
        self.decoder = nn.ModuleList(
            GavsAdapter(config, decoder_width, size, nn.GELU(), reads) for _ in range(decoder_layers)
        )

    def forward(
        self,
        encode: Callable[[torch.Tensor, list[Callable]], torch.Tensor | tuple[torch.Tensor, ...]],
        pixel_values: torch.Tensor,
        *words: torch.Tensor,
    ) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """What `encode` makes of frames `[N, 3, S, S]` and the adapters of the image encoder's MLPs.

        Args:
            encode: takes the frames and one function for each adapted MLP, which gives what is added to its output.
            pixel_values: `[N, 3, S, S]`.
            words: states `[N, P, text_size]` of the words about each frame and bool `[N, P]`, True for real tokens;
                nothing for adapters that do not read.
        """
        return encode(pixel_values, self._reading(self.blocks, words))

    def of_decoder(self, *words: torch.Tensor) -> list[Callable[[torch.Tensor], torch.Tensor]]:
        """The adapters of the MLPs of the mask decoder, which read `words`."""
        return self._reading(self.decoder, words)

    def _reading(
        self, adapters: nn.ModuleList, words: tuple[torch.Tensor, ...]
    ) -> list[Callable[[torch.Tensor], torch.Tensor]]:
        text, text_mask = words or (None, None)
        if self.text_projection is not None:
            text = self.text_projection(text)
        return [partial(adapter, text=text, text_mask=text_mask) for adapter in adapters]
