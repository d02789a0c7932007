"""Mask losses as plain functions. Each returns one value a mask, so that callers choose the weighting."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F


def mask_bce(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy with logits, mean over pixels: `[..., h, w]` twice -> `[...]`."""
    return F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none").mean((-2, -1))


def mask_dice(logits: torch.Tensor, targets: torch.Tensor, scale: float = 1000.0, eps: float = 1e-6) -> torch.Tensor:
    """Dice loss of the LISA/EVF-SAM line: `[..., h, w]` twice -> `[...]`.

    Sums are divided by `scale` before `eps` is added, so an empty target costs 1 with almost no gradient: only the
    cross-entropy teaches emptiness.
    """
    probabilities, targets = logits.sigmoid(), targets.to(logits.dtype)
    overlap = 2 * (probabilities * targets / scale).sum((-2, -1))
    total = (probabilities / scale).sum((-2, -1)) + (targets / scale).sum((-2, -1))
    return 1 - (overlap + eps) / (total + eps)


def mask_iou(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Intersection over union of `logits > 0` and `targets > 0`, union at least 1: `[..., h, w]` twice -> `[...]`."""
    predicted, targets = logits > 0, targets > 0
    intersection = (predicted & targets).sum((-2, -1))
    return intersection / (predicted | targets).sum((-2, -1)).clamp(min=1)


def weighted_mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean of `values` under `weights` of the same shape; zero, with a gradient, when all weights are zero."""
    return (values * weights).sum() / weights.sum().clamp(min=1)


def mean_terms(parts: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The mean of each term of a loss, of parts that have the same terms."""
    return {name: sum(part[name] for part in parts) / len(parts) for name in parts[0]}
