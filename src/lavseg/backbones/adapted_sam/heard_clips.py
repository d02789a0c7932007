"""Clips with their sounds on the way to a host that is given the sound of each frame."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ...modeling.inputs import ClipInputs
from ...modeling.outputs import MaskPrediction
from ..rows import as_index, frames_of, true_places
from ..sam2.user_prompts import UserPrompt


@dataclass(frozen=True, eq=False)
class HeardClips:
    """`B` clips of up to `T` frames with their sounds, in each of which `E` objects are asked for.

    given: what else was given with them.
    frames: `[B, T, 3, S, S]`, or None where `embeddings`, made of them before, take their place: SAM's
        `[B, T, C, e, e]` or SAM2's three tensors `[B, T, ...]`, with an axis `E` after `T` on a model that reads.
    audio: `[B, T, D]`.
    words: states `[B E, P, D]` of the sentences and which tokens are real, bool `[B E, P]`; empty without text.
    user_prompts: what a user shows of the `B E` objects, for each of the `prompt_frames`; empty for nothing.
    """

    given: ClipInputs
    frames: torch.Tensor | None
    embeddings: torch.Tensor | Sequence[torch.Tensor] | None
    audio: torch.Tensor
    words: tuple[torch.Tensor, ...]
    user_prompts: list[UserPrompt] = field(default_factory=list)
    prompt_frames: Sequence[int] | None = None

    @property
    def real(self) -> torch.Tensor:
        """Which frames are no padding, bool `[B, E, T]`."""
        return self.given.frame_mask[:, None].expand(self.given.batch)

    @property
    def lengths(self) -> list[int]:
        """How many real frames there are for each of the `B E` objects."""
        return [length for length in self.given.lengths for _ in range(self.given.batch[1])]

    def encode(self, encode: Callable, objects: Sequence[int], frames: Sequence[int]) -> Any:
        """What `encode` makes of some frames, their sounds and the words about the `objects` looked for on them."""
        places = [self._clips(objects), frames]
        if self.embeddings is None:
            return encode(pick(self.frames, *places), *self._said(objects, frames))
        if self.words:
            places.append([number % self.given.batch[1] for number in objects])
        if torch.is_tensor(self.embeddings):
            return pick(self.embeddings, *places)
        return tuple(pick(part, *places) for part in self.embeddings)

    def encode_all(self, encode: Callable) -> Any:
        """What `encode` makes of all real frames, which for a method that reads there are for each object."""
        return self.encode(encode, *frames_of(self.lengths))

    def decode(self, decode: Callable, objects: Sequence[int], frames: Sequence[int], run: Callable) -> MaskPrediction:
        """What `decode` makes of the sounds of some frames and the words about the `objects` looked for on them."""
        return decode(run, *self._said(objects, frames))

    def _said(self, objects: Sequence[int], frames: Sequence[int]) -> list[torch.Tensor]:
        return [pick(self.audio, self._clips(objects), frames), *(pick(value, objects) for value in self.words)]

    def _clips(self, objects: Sequence[int]) -> list[int]:
        return [number // self.given.batch[1] for number in objects]


def pick(values: torch.Tensor, *places: Sequence[int]) -> torch.Tensor:
    """The values at some places, from the number of each on the first axes."""
    return values[tuple(as_index(numbers, values.device) for numbers in places)]


def to_clips(values: torch.Tensor, frame_mask: torch.Tensor, fill: float = 0.0) -> torch.Tensor:
    """Values `[N, ...]` of the real frames as `[B, T, ...]`, with `fill` on padding frames; or any other axes that
    `frame_mask` has."""
    clips = values.new_full((frame_mask.numel(), *values.shape[1:]), fill)
    clips[true_places(frame_mask, len(values))] = values
    return clips.unflatten(0, frame_mask.shape)


def from_clips(values: torch.Tensor, frame_mask: torch.Tensor, count: int) -> torch.Tensor:
    """Values `[N, ...]` of the `count` real frames out of `[B, T, ...]`, or any other axes that `frame_mask` has: what
    indexing with the mask gives, which would wait for the device."""
    return values.flatten(0, frame_mask.dim() - 1)[true_places(frame_mask, count)]
