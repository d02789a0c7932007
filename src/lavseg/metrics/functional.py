"""Statistics and scores of binary masks, without state.

Statistics are integer counts per frame; scores are float64. All functions take valid tensors and stay on their device:
frames are `[N, H, W]`, masks are bool. Reductions over frames are always spelled out by the caller or the name.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

BETA_SQUARED = 0.3
CURVE_THRESHOLDS = 255


class MaskCounts(NamedTuple):
    """Pixels of each frame by outcome, four int64 tensors `[N]`."""

    true_positive: Tensor
    false_positive: Tensor
    false_negative: Tensor
    true_negative: Tensor


class CurveCounts(NamedTuple):
    """Pixels of each frame at every threshold, int64: `[N, 255]`, `[N, 255]`, and the size of the truth `[N]`."""

    true_positive: Tensor
    predicted: Tensor
    truth: Tensor


def count_pixels(masks: Tensor) -> Tensor:
    """Foreground pixels of each bool frame, int64 `[N]`."""
    # One frame at a time: counting along two axes at once is sixteen times slower on the CPU.
    return torch.stack([mask.count_nonzero() for mask in masks])


def mask_counts(predictions: Tensor, targets: Tensor) -> MaskCounts:
    """Compare bool masks `[N, H, W]` frame by frame."""
    true_positive = count_pixels(predictions & targets)
    false_positive = count_pixels(predictions) - true_positive
    false_negative = count_pixels(targets) - true_positive
    pixels = targets[0].numel()
    return MaskCounts(
        true_positive, false_positive, false_negative, pixels - true_positive - false_positive - false_negative
    )


def curve_thresholds(device: torch.device | str = "cpu") -> Tensor:
    """The 255 float32 thresholds `linspace(0, 1, 255)`, computed on the CPU so that every device compares alike."""
    return torch.linspace(0, 1, CURVE_THRESHOLDS).to(device)


def curve_counts(scores: Tensor, targets: Tensor) -> CurveCounts:
    """Count `scores >= threshold` at all 255 thresholds in one histogram pass; exact, ties included.

    Args:
        scores: float32 `[N, H, W]`; values outside 0..1 are legal.
        targets: bool `[N, H, W]`.

    Raises:
        ValueError: if `scores` holds NaN.
    """
    if scores.max().isnan():
        raise ValueError("scores holds NaN; finite and infinite values are accepted.")
    thresholds = curve_thresholds(scores.device)
    # Frame by frame: the intermediates of one frame stay in the cache, which is five times faster than the whole batch.
    histograms = torch.stack([_joint_histogram(*frame, thresholds) for frame in zip(scores, targets, strict=True)])
    reached = histograms.flip(-1).cumsum(-1).flip(-1)
    return CurveCounts(reached[:, 1, 1:], reached[:, :, 1:].sum(1), reached[:, 1, 0])


def _joint_histogram(scores: Tensor, target: Tensor, thresholds: Tensor) -> Tensor:
    """Pixels by (target, number of thresholds at or below the score): int64 `[2, 256]`."""
    last = CURVE_THRESHOLDS - 1
    # The thresholds are evenly spaced up to rounding, so only the one nearest to a score needs a real comparison.
    nearest = (scores * last).round_().clamp_(0, last).to(torch.int32)
    reached = nearest + (scores >= thresholds.index_select(0, nearest.flatten()).view_as(scores))
    bins = CURVE_THRESHOLDS + 1
    return torch.bincount((reached + bins * target.int()).flatten(), minlength=2 * bins).view(2, bins)


def jaccard(counts: MaskCounts, empty_truth: Literal["specificity", "exact"]) -> Tensor:
    """Intersection over union of each frame, float64 `[N]`.

    A frame whose truth is empty scores the share of its background that is predicted background ("specificity", as
    in the official AVSBench code), or 1 for an empty prediction and 0 for any other ("exact", as in DAVIS).
    """
    tp, fp, fn, tn = counts
    overlap = tp.double() / (tp + fp + fn).clamp(min=1)
    empty_score = (fp == 0).double() if empty_truth == "exact" else tn.double() / (tn + fp).clamp(min=1)
    return torch.where(tp + fn == 0, empty_score, overlap)


def f_measure(true_positive: Tensor, predicted: Tensor, truth: Tensor) -> Tensor:
    """F with beta^2 = 0.3 from pixel counts of one shape, float64; 0 where nothing is hit.

    It is `1.3 P R / (0.3 P + R)` for precision P and recall R, with the fractions cleared.
    """
    denominator = BETA_SQUARED * truth.double() + predicted
    return (1 + BETA_SQUARED) * true_positive.double() / denominator.clamp(min=BETA_SQUARED)


def f_curve(counts: CurveCounts) -> Tensor:
    """F of each frame at each threshold, float64 `[N, 255]`; 0 throughout for a frame with empty truth."""
    return f_measure(counts.true_positive, counts.predicted, counts.truth[:, None])


def max_mean_f(f_curves: Tensor, frames_with_truth: Tensor) -> Tensor:
    """Maximum of the F curves of `G` batches, float64 `[G]`, each averaged over the frames whose truth is not empty.

    Args:
        f_curves: those of the frames of each batch summed, `[G, 255]`.
        frames_with_truth: how many of them have one, `[G]`; 0 where none has.
    """
    return (f_curves / frames_with_truth.clamp(min=1)[:, None]).amax(1)


def null_s(positives: Tensor, pixels: int | Tensor) -> Tensor:
    """Root of the share of `pixels` that is predicted foreground (S of Ref-AVS), float64, lower is better."""
    return (positives.double() / pixels).sqrt()
