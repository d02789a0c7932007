"""Masks of a first stage for the windows of a second one."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from ..evaluation.first_stage import PRIOR_SIZE
from ..modeling.processing import AudioVisualProcessor
from .encoded_frames import FrameInput
from .frame_predictions import FramePredictions, masks_of_size


class PriorMasks:
    """What a first stage finds in the frames of a clip, as far as windows of a second one ask for it.

    Args:
        predictions: of the first stage, frame by frame.
        processor: the first stage's.
        device: of the second stage.
    """

    def __init__(self, predictions: Iterator[FramePredictions], processor: AudioVisualProcessor, device: torch.device):
        self.predictions, self.processor, self.device = predictions, processor, device
        self._masks: dict[int, torch.Tensor] = {}
        self._next = 0

    def of(self, inputs: Sequence[FrameInput]) -> torch.Tensor:
        """Masks `[1, T, 224, 224]` of the frames of a window, 0 and 1; later ones never ask for earlier frames."""
        numbers = [item.number for item in inputs]
        while self._next <= max(numbers):
            found = masks_of_size(self.processor, next(self.predictions).logits, PRIOR_SIZE)
            self._masks[self._next], self._next = torch.from_numpy(found[0, 0]).float(), self._next + 1
        self._masks = {number: mask for number, mask in self._masks.items() if number >= min(numbers)}
        return torch.stack([self._masks[number] for number in numbers])[None].to(self.device)

    def given_to(self, segment: Callable[..., FramePredictions]) -> Callable[[Sequence[FrameInput]], Any]:
        """`segment`, which gives the predictions for a window, with the masks of its frames."""
        return lambda inputs: segment(inputs, prior_masks=self.of(inputs))


__all__ = ["PriorMasks"]
