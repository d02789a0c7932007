"""Notices a training whose loss or weights are no longer finite."""

import math
from collections.abc import Callable

import torch
from torch import nn

from ..modeling.inputs import first_non_finite

_REMEDIES = "try a lower learning_rate, a longer warm-up, a lower max_grad_norm, or bf16 in place of fp16"


class TrainingDivergedError(ValueError):
    """A training went to NaN or infinity. The message says at which step, and what to try."""


class DivergenceWatch:
    """Looks at the losses of one training, on their device, so that a step does not wait for it."""

    def __init__(self):
        self._first = torch.tensor(math.inf)

    def add(self, loss: torch.Tensor, step: int) -> None:
        """Look at the loss, a scalar, of a step counted from 1."""
        found = torch.where(loss.isfinite(), math.inf, float(step))
        self._first = torch.minimum(self._first.to(found), found)

    def check(self, step: int, model: nn.Module | None, gather: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Look at what all processes have seen; waits for their devices.

        Args:
            step: that was done last.
            model: whose weights are looked at as well; None to look at losses only.
            gather: joins tensors `[1, 2]` of all processes to `[processes, 2]`.

        Raises:
            TrainingDivergedError: on all processes alike, but for the name of the weight.
        """
        weight = None if model is None else first_non_finite(_local_weights(model))
        own = torch.stack([self._first, self._first.new_tensor(math.inf if weight is None else step)])
        by_loss, by_weight = gather(own[None]).amin(0).tolist()
        if by_loss < math.inf:
            problem = f"the loss is NaN or infinite at step {by_loss:.0f}"
        elif by_weight < math.inf:
            problem = f"{weight or 'a weight'} holds NaN or infinite values after step {step}"
        else:
            return
        raise TrainingDivergedError(f"training stopped: {problem}, nothing was saved since; {_REMEDIES}")


def _local_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers, of those that are split over processes the part that is here."""
    named = dict(model.named_parameters()) | dict(model.named_buffers())
    return {name: value.to_local() if hasattr(value, "to_local") else value for name, value in named.items()}
