"""How adapters reach into SAM2's parts: the stock modules run, and hooks that live as long as a call add to them."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from ..attention import MultiheadAttention
from .configuration_sam2 import SENTENCE_HEADS


class SentenceAttention(nn.Module):
    """Cross-attention from tokens to the words of a sentence, pre-norm and residual.

    Args:
        config: says which implementation of attention.
        width: channels of tokens and words.
        num_heads: attention heads.
    """

    def __init__(self, config: PreTrainedConfig, width: int, num_heads: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = MultiheadAttention(config, width, num_heads)

    def forward(self, tokens: torch.Tensor, text: torch.Tensor, text_mask: torch.Tensor) -> torch.Tensor:
        """Tokens `[N, ..., C]` ask the words `text [N, P, C]`, of which `text_mask` bool `[N, P]` are real."""
        flat = self.norm(tokens.flatten(1, -2))
        return tokens + self.attention(flat, text, text_mask).view_as(tokens)


class Sam2AudioAdapters(GradientCheckpointingLayer):
    """[`SamAudioAdapters`] for Hiera, whose blocks differ in width: blocks of one width share the second layer
    (AuralSAM2, supplement 6.5). Where there is text, the hidden layer attends to it, by one attention per width;
    in the supplement the adapters' outputs do.

    Calling it encodes frames; under gradient checkpointing a call is made again in the backward pass.

    ```python
    adapters = Sam2AudioAdapters(sam2.config, [block.dim for block in sam2.blocks], audio_size=128, hidden_size=512)
    stride4, stride8, stride16 = adapters(sam2.encode, pixel_values, audio)
    ```

    Args:
        config: says which implementation of attention.
        widths: channels of the input of each block.
        audio_size: channels of the sound's embedding.
        hidden_size: hidden channels of the adapters.
        text_size: channels of the text encoder's states; None for adapters that do not read.
    """

    def __init__(
        self,
        config: PreTrainedConfig,
        widths: list[int],
        audio_size: int,
        hidden_size: int,
        text_size: int | None = None,
    ):
        super().__init__()
        self.widths = list(map(str, widths))
        self.audio_layers = nn.ModuleList(nn.Linear(audio_size, hidden_size) for _ in widths)
        self.shared = nn.ModuleDict({str(width): nn.Linear(hidden_size, width) for width in sorted(set(widths))})
        self.text_projection = self.sentence = None
        if text_size is not None:
            self.text_projection = nn.Linear(text_size, hidden_size)
            self.sentence = nn.ModuleDict(
                {width: SentenceAttention(config, hidden_size, SENTENCE_HEADS) for width in self.shared}
            )

    @property
    def linears(self) -> list[nn.Linear]:
        """Its layers but those that read."""
        return [*self.audio_layers, *self.shared.values()]

    def prompts(
        self, audio: torch.Tensor, text: torch.Tensor | None = None, text_mask: torch.Tensor | None = None
    ) -> list[torch.Tensor]:
        """Embeddings `[N, audio_size]` and sentences `[N, P, text_size]` to one prompt `[N, width]` per block."""
        prompts = []
        if self.sentence is not None:
            text = self.text_projection(text)
        for layer, width in zip(self.audio_layers, self.widths, strict=True):
            hidden = F.gelu(layer(audio))
            if self.sentence is not None:
                hidden = self.sentence[width](hidden[:, None], text, text_mask)[:, 0]
            prompts.append(self.shared[width](hidden))
        return prompts

    def forward(
        self,
        encode: Callable[[torch.Tensor, list[torch.Tensor]], tuple[torch.Tensor, ...]],
        pixel_values: torch.Tensor,
        audio: torch.Tensor,
        text: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Encode frames; the prompt of each block is added to the block's input.

        Args:
            encode: `Sam2Backbone.encode` of the host.
            pixel_values: `[N, 3, S, S]`.
            audio: embeddings `[N, audio_size]` of the sound of each frame.
            text: states `[N, P, text_size]` of the sentence about each frame, for adapters that read.
            text_mask: bool `[N, P]`, True for real tokens.

        Returns:
            What `encode` makes of them, features at strides 4, 8 and 16.
        """
        return encode(pixel_values, self.prompts(audio, text, text_mask))


@contextmanager
def raised_inputs(blocks: Iterable[nn.Module], prompts: Iterable[torch.Tensor]) -> Iterator[None]:
    """Inside, each of `blocks` adds its prompt `[N, C]` to its input `[N, H, W, C]`."""

    def hook(prompt: torch.Tensor) -> Callable:
        return lambda module, args: (args[0] + prompt[:, None, None].to(args[0].device), *args[1:])

    handles = [block.register_forward_pre_hook(hook(prompt)) for block, prompt in zip(blocks, prompts, strict=True)]
    with _removed_at_the_end(handles):
        yield


@contextmanager
def adapted_mlps(
    blocks: Iterable[nn.Module], adapters: Iterable[Callable[[torch.Tensor], torch.Tensor]]
) -> Iterator[None]:
    """Inside, the MLP of each of `blocks` gives its output plus what its adapter makes of that."""

    def hook(adapter: Callable[[torch.Tensor], torch.Tensor]) -> Callable:
        return lambda module, args, output: output + adapter(output).to(output.device)

    handles = [block.mlp.register_forward_hook(hook(adapter)) for block, adapter in zip(blocks, adapters, strict=True)]
    with _removed_at_the_end(handles):
        yield


@contextmanager
def _removed_at_the_end(handles: list[torch.utils.hooks.RemovableHandle]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
