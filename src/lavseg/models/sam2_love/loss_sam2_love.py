"""What SAM2-LOVE's masks of key frames cost (Wang et al., CVPR 2025, Eq. 5)."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F

from ...losses import mask_bce, mask_dice, mask_iou, weighted_mean
from ...modeling.outputs import MaskPrediction
from .configuration_sam2_love import Sam2LoveConfig

Terms = dict[str, torch.Tensor]


def mask_losses(
    config: Sam2LoveConfig,
    loss_weights: Mapping[str, float],
    weigh: Callable[[Terms], Terms],
    prediction: MaskPrediction,
    targets: torch.Tensor,
    labeled: torch.Tensor,
) -> tuple[MaskPrediction, Terms]:
    """Loss terms of `N` predictions against `targets [N, h, w]` where `labeled [N]`, and the predictions with the
    candidate that learns.

    Args:
        loss_weights: of the terms; those that are off without a cost are not computed.
        weigh: gives terms their weights.
    """
    weights = labeled.to(targets.dtype)
    if config.loss_size == "label":
        size = targets.shape[-2:]
        resized = F.interpolate(prediction.candidates, size=size, mode="bilinear", align_corners=False)
    else:
        resized = prediction.candidates
        targets = F.interpolate(targets[:, None], size=resized.shape[-2:], mode="nearest")[:, 0]
    every = targets[:, None].expand_as(resized)
    if config.mask_selection == "min_loss":
        costs = weigh({"bce": mask_bce(resized, every), "dice": mask_dice(resized, every)})
        prediction = prediction.choose(sum(costs.values()).argmin(-1))
    rows = torch.arange(len(resized), device=resized.device)
    chosen = resized[rows, prediction.choice]
    losses = {
        "bce": weighted_mean(mask_bce(chosen, targets), weights),
        "dice": weighted_mean(mask_dice(chosen, targets), weights),
    }
    if loss_weights["object"]:
        visible = (targets > 0).flatten(1).any(-1).to(targets.dtype)
        cost = F.binary_cross_entropy_with_logits(prediction.object_score_logits, visible, reduction="none")
        losses["object"] = weighted_mean(cost, weights)
    if loss_weights["iou"]:
        error = (prediction.candidate_scores - mask_iou(resized, every)).abs().mean(-1)
        losses["iou"] = weighted_mean(error, weights)
    return prediction, losses
