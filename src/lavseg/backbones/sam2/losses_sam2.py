"""The loss that SAM2 was trained with, for the methods that train its mask decoder in the same way."""

import torch
import torch.nn.functional as F

from ...losses import mask_iou

# Of its terms (SAM 2, appendix D.2.2).
SAM2_LOSS_WEIGHTS = {"focal": 20.0, "dice": 1.0, "iou": 1.0, "object": 1.0}


def focal_loss(logits: torch.Tensor, targets: torch.Tensor, alpha: float = 0.25, gamma: float = 2.0) -> torch.Tensor:
    """Focal loss (Lin et al., 2017), mean over pixels: `[..., h, w]` twice -> `[...]`."""
    cost = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    miss = (logits.sigmoid() - targets).abs()
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return (weight * miss**gamma * cost).mean((-2, -1))


def dice_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Dice loss with 1 added above and below: `[..., h, w]` twice -> `[...]`."""
    probabilities = logits.sigmoid()
    overlap = 2 * (probabilities * targets).sum((-2, -1))
    return 1 - (overlap + 1) / (probabilities.sum((-2, -1)) + targets.sum((-2, -1)) + 1)


def sam2_losses(
    candidates: torch.Tensor,
    iou_scores: torch.Tensor,
    object_score_logits: torch.Tensor,
    targets: torch.Tensor,
    focal_weight: float = 20.0,
    dice_weight: float = 1.0,
    iou_of_best: bool = False,
) -> dict[str, torch.Tensor]:
    """SAM2's training loss, its terms unweighted, for each of `N` masks (SAM 2, appendix D.2.2).

    Of the candidates the one with the least focal and dice loss is supervised. Where the target is empty only the
    object score learns.

    Args:
        candidates: logits `[N, M, h, w]`.
        iou_scores: predicted IoU `[N, M]`.
        object_score_logits: `[N]`.
        targets: 0 and 1, `[N, h, w]`.
        focal_weight, dice_weight: for the choice of the candidate.
        iou_of_best: the predicted IoU of that candidate alone learns, and not that of all.

    Returns:
        `focal`, `dice`, `iou` and `object`, each `[N]`.
    """
    targets = targets.to(candidates.dtype)
    visible = targets.flatten(1).any(1).to(candidates.dtype)
    every = targets[:, None].expand_as(candidates)
    focal, dice = focal_loss(candidates, every), dice_loss(candidates, every)
    errors = (iou_scores - mask_iou(candidates, every)).abs()
    best = (focal_weight * focal + dice_weight * dice).argmin(1, keepdim=True)
    return {
        "focal": visible * focal.gather(1, best)[:, 0],
        "dice": visible * dice.gather(1, best)[:, 0],
        "iou": visible * (errors.gather(1, best)[:, 0] if iou_of_best else errors.mean(1)),
        "object": F.binary_cross_entropy_with_logits(object_score_logits, visible, reduction="none"),
    }
