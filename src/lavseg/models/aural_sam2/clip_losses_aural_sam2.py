"""The loss terms of AuralSAM2's clips: SAM2's own on each labelled frame, and the contrast over all of them."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F

from ...backbones.sam2.every_frame_tracking import call
from ...backbones.sam2.losses_sam2 import sam2_losses
from ...modeling.outputs import MaskPrediction
from .batch_aural_sam2 import ClipGroup
from .configuration_aural_sam2 import AuralSam2Config
from .fuser_aural_sam2 import AuralSam2Fuser, FusedLevel
from .loss_aural_sam2 import contrastive_loss


def clip_losses(
    config: AuralSam2Config,
    loss_weights: Mapping[str, float],
    fuser: AuralSam2Fuser,
    found: MaskPrediction,
    levels: list[FusedLevel],
    group: ClipGroup,
    labels: torch.Tensor,
    counted: torch.Tensor,
    run: Callable = call,
) -> dict[str, torch.Tensor]:
    """Loss terms `[n]` of `n` objects, not weighted, summed over the frames that are `counted`, bool `[b, T]`.

    `found` holds masks `[n, T, h, w]` with scores, which `levels` prompted.

    Masks are compared with `labels [n, T, h, w]` at the labels' own size; `loss_weights` choose among candidates. `run`
    calls what compares them on a frame, a function of values.
    """

    def compare(frame: int) -> dict[str, torch.Tensor]:
        resized = F.interpolate(
            found.candidates[:, frame].float(), labels.shape[-2:], mode="bilinear", align_corners=False
        )
        return sam2_losses(
            resized,
            found.candidate_scores[:, frame].float(),
            found.object_score_logits[:, frame].float(),
            labels[:, frame],
            loss_weights["focal"],
            loss_weights["dice"],
            iou_of_best=config.behavior == "paper",
        )

    expressions = len(labels) // len(group.clips)
    counted = counted.repeat_interleave(expressions, dim=0)
    nothing = found.candidate_scores.float().sum((1, 2)) * 0  # with a gradient, for clips without labels
    totals = dict.fromkeys(("focal", "dice", "iou", "object"), nothing)
    for frame in sorted({frame for frames in group.labeled for frame in frames}):
        for name, value in run(compare, frame).items():
            totals[name] = totals[name] + value * counted[:, frame]
    if config.contrastive_loss != "none":
        frames = [frames for frames in group.labeled for _ in range(expressions)]
        totals["contrastive"] = _contrastive_losses(config, fuser, found, levels, labels, frames)
    return totals


def _contrastive_losses(
    config: AuralSam2Config,
    fuser: AuralSam2Fuser,
    found: MaskPrediction,
    levels: list[FusedLevel],
    labels: torch.Tensor,
    labeled: list[list[int]],
) -> torch.Tensor:
    """Contrast `[n]` of each object over its frames `labeled`."""
    pairs = [fuser.contrastive_features(level, labels.shape[1]) for level in levels]
    masks = found.masks
    losses = []
    for index, kept in enumerate(labeled):
        if not kept:
            losses.append(masks[index].float().sum() * 0)
            continue
        with torch.autocast(labels.device.type, enabled=False):
            losses.append(
                contrastive_loss(
                    config.contrastive_loss,
                    [_rows(frames[index], kept) for frames, _ in pairs],
                    [_rows(sounds[index], kept) for _, sounds in pairs],
                    _rows(masks[index], kept),
                    _rows(labels[index], kept),
                    config.contrastive_samples,
                    config.contrastive_temperature,
                )
            )
    return torch.stack(losses)


def _rows(values: torch.Tensor, rows: list[int]) -> torch.Tensor:
    """Some rows in float32; indexing with a list would wait for the device."""
    return torch.stack([values[row] for row in rows]).float()
