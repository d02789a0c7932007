"""ReferFormer's loss: one query of a clip is matched with the object, by its class, its boxes and its masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ...losses import weighted_mean
from .head_referformer import MASK_STRIDE

# Of the terms of the loss of a layer, and of the costs that decide which query is matched.
WEIGHTS = {"class": 2.0, "box": 5.0, "giou": 2.0, "mask": 2.0, "dice": 5.0}


@dataclass(frozen=True, eq=False)
class TrackPredictions:
    """What `Q` queries say of `N` clips of `T` frames: `logits [N, T, Q]`, `boxes [N, T, Q, 4]`, `masks [N, T, Q, h,
    w]`."""

    logits: torch.Tensor
    boxes: torch.Tensor
    masks: torch.Tensor


@dataclass(frozen=True, eq=False)
class TrackTargets:
    """What is true of `N` clips.

    masks: `[N, T, h, w]`, at the masks' stride.
    boxes: `[N, T, 4]`, all zero where the object is not seen.
    labeled: bool `[N, T]`, frames that count.
    visible: bool `[N, T]`, those of them in which the object is seen.
    """

    masks: torch.Tensor
    boxes: torch.Tensor
    labeled: torch.Tensor
    visible: torch.Tensor


def mask_boxes(masks: torch.Tensor) -> torch.Tensor:
    """Boxes `[..., 4]` around masks `[..., h, w]`: centre and size, from the first to the last pixel with no pixel
    added, in shares of width and height; all zero for an empty mask."""
    edges = []
    for axis, size in ((-2, masks.shape[-1]), (-1, masks.shape[-2])):
        seen = (masks > 0).any(axis).to(torch.int)
        first, last = seen.argmax(-1), size - 1 - seen.flip(-1).argmax(-1)
        edges.append((first / size, last / size, seen.any(-1)))
    (left, right, there), (top, bottom, _) = edges
    boxes = torch.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], dim=-1)
    return boxes * there[..., None]


def make_targets(
    labels: Sequence[torch.Tensor], labeled: torch.Tensor, sizes: Sequence[tuple[int, int]], cells: tuple[int, int]
) -> TrackTargets:
    """Targets of clips, each of its own size on a common canvas. Masks are sampled, not averaged.

    Args:
        labels: `[T, h, w]` of each of `N` clips, of the frames without padding.
        labeled: bool `[N, T]`.
        sizes: height and width of each clip's frames on the canvas.
        cells: height and width of the predicted masks.
    """
    canvas = [MASK_STRIDE * edge for edge in cells]
    at = slice(MASK_STRIDE // 2, None, MASK_STRIDE)
    sampled = []
    for label, (height, width) in zip(labels, sizes, strict=True):
        scaled = F.interpolate(label[None].float(), (height, width), mode="nearest")[0]
        sampled.append(F.pad(scaled, (0, canvas[1] - width, 0, canvas[0] - height))[..., at, at])
    boxes = torch.stack([mask_boxes(label) for label in labels])
    visible = torch.stack([(label > 0).flatten(1).any(-1) for label in labels]) & labeled
    return TrackTargets(torch.stack(sampled), boxes, labeled, visible)


def generalized_iou(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Generalised IoU of boxes `[..., 4]` (centre and size) and others that broadcast to them."""
    (low, high), (other_low, other_high) = (
        (each[..., :2] - each[..., 2:] / 2, each[..., :2] + each[..., 2:] / 2) for each in (boxes, others)
    )
    overlap = (torch.minimum(high, other_high) - torch.maximum(low, other_low)).clamp(min=0).prod(-1)
    hull = (torch.maximum(high, other_high) - torch.minimum(low, other_low)).clamp(min=0).prod(-1)
    union = (high - low).prod(-1) + (other_high - other_low).prod(-1) - overlap
    return (overlap + 1e-6) / (union + 1e-6) - (hull - union + 1e-6) / (hull + 1e-6)


def focal(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Focal loss of every entry (alpha 0.25, gamma 2)."""
    targets = targets.to(logits.dtype)
    chance = logits.sigmoid()
    missed = chance + targets - 2 * chance * targets
    alpha = 0.75 - 0.5 * targets
    return alpha * missed**2 * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def _mean_over(values: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """Means `[N, ...]` of values `[N, T, ...]` over the frames bool `[N, T]`; zero where there are none."""
    weights = frames.reshape(*frames.shape, *[1] * (values.dim() - 2)).to(values.dtype)
    return (values * weights).sum(1) / weights.sum(1).clamp(min=1)


def _dice(logits: torch.Tensor, targets: TrackTargets) -> torch.Tensor:
    """Dice loss `[N, ...]` of masks `[N, T, ..., h, w]` over a whole clip."""
    between = logits.dim() - 4
    truth = targets.masks.reshape(*targets.masks.shape[:2], *[1] * between, *targets.masks.shape[-2:])
    counted = targets.labeled.reshape(*targets.labeled.shape, *[1] * (between + 2)).to(logits.dtype)
    chance, truth = logits.sigmoid() * counted, truth.to(logits.dtype) * counted
    axes = (1, -2, -1)
    return 1 - (2 * (chance * truth).sum(axes) + 1) / (chance.sum(axes) + truth.sum(axes) + 1)


@torch.no_grad()
def match(found: TrackPredictions, targets: TrackTargets) -> torch.Tensor:
    """The query `[N]` that is matched with the object of each clip: the one of the least cost."""
    ones, zeros = torch.ones_like(found.logits), torch.zeros_like(found.logits)
    by_class = focal(found.logits, ones) - focal(found.logits, zeros)
    truth = targets.boxes[:, :, None].to(found.boxes.dtype)
    by_box = (found.boxes - truth).abs().sum(-1)
    by_giou = -generalized_iou(found.boxes, truth)
    by_mask = focal(found.masks, targets.masks[:, :, None].expand_as(found.masks)).mean((-2, -1))
    cost = WEIGHTS["class"] * _mean_over(by_class, targets.visible)
    for name, value in (("box", by_box), ("giou", by_giou), ("mask", by_mask)):
        cost = cost + WEIGHTS[name] * _mean_over(value, targets.labeled)
    return (cost + WEIGHTS["dice"] * _dice(found.masks, targets)).argmin(-1)


def track_losses(found: TrackPredictions, targets: TrackTargets) -> dict[str, torch.Tensor]:
    """Terms of the loss of one layer, divided by the number of frames in which an object is seen. A clip whose object
    is nowhere to be seen teaches that no query is it, and nothing else; the released code cannot match it."""
    query = match(found, targets)
    there = targets.visible.any(1)
    count = targets.visible.sum().clamp(min=1)
    chosen = F.one_hot(query, found.logits.shape[-1]).bool()[:, None]
    by_class = focal(found.logits, chosen & targets.visible[..., None]) * targets.labeled[..., None]

    def pick(values: torch.Tensor) -> torch.Tensor:
        index = query.view(-1, *[1] * (values.dim() - 1))
        return values.take_along_dim(index, 2)[:, :, 0]

    boxes, masks, truth = pick(found.boxes), pick(found.masks), targets.boxes.to(found.boxes.dtype)
    frames = targets.labeled & there[:, None]
    by_mask = _mean_over(focal(masks, targets.masks).mean((-2, -1)), targets.labeled)
    sums = {
        "class": by_class.sum(),
        "box": ((boxes - truth).abs().sum(-1) * frames).sum(),
        "giou": ((1 - generalized_iou(boxes, truth)) * frames).sum(),
        "mask": (by_mask * there).sum(),
        "dice": (_dice(masks, targets) * there).sum(),
    }
    return {name: value / count for name, value in sums.items()}


def absence_loss(logits: torch.Tensor, targets: TrackTargets) -> torch.Tensor:
    """Cross-entropy of R2VOS' classifier, `logits [N]`; its target is 1 where the object is nowhere to be seen."""
    absent = ~targets.visible.any(1)
    costs = F.binary_cross_entropy_with_logits(logits, absent.to(logits.dtype), reduction="none")
    return weighted_mean(costs, targets.labeled.any(1).to(costs.dtype))


__all__ = [
    "TrackPredictions",
    "TrackTargets",
    "absence_loss",
    "generalized_iou",
    "make_targets",
    "mask_boxes",
    "match",
    "track_losses",
]
