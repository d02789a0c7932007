"""What a caller may pass as frames, and the errors for everything else."""

from typing import Any

import torch
from torch import Tensor


def paired_frames(name: str, predictions: Any, targets: Any) -> tuple[Tensor, Tensor]:
    """Both arguments as tensors `[N, H, W]` of one shape on the device of the predictions, or on the CPU where that is
    Apple's MPS: it has no float64, in which scores are summed.

    Args:
        name: how the caller names its `predictions`, for the message.
        predictions, targets: tensors, arrays or nested lists `[N, H, W]`.

    Raises:
        ValueError: if either is not numeric, not three-dimensional or empty, or if the shapes differ.
    """
    predictions = _frames(name, predictions)
    targets = _frames("targets", targets)
    if predictions.shape != targets.shape:
        raise ValueError(
            f"{name} and targets must have one shape [N, H, W], got {name} {tuple(predictions.shape)} and targets "
            f"{tuple(targets.shape)}: resize the predictions to the size of the masks."
        )
    predictions = predictions.cpu() if predictions.device.type == "mps" else predictions
    return predictions, targets.to(predictions.device)


def as_tensor(name: str, value: Any) -> Tensor:
    """`value` as a tensor, or a ValueError that names it."""
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must be a tensor or an array, got {type(value).__name__} ({error}).") from error


def _frames(name: str, value: Any) -> Tensor:
    frames = as_tensor(name, value)
    if frames.ndim != 3 or frames.numel() == 0:
        raise ValueError(
            f"{name} must hold at least one frame as [N, H, W], got shape {tuple(frames.shape)}: "
            "flatten clips, times and expressions into N."
        )
    return frames
