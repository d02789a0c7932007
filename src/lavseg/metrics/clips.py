"""From a batch of clips to the frames that a metric scores."""

import torch
import torch.nn.functional as F


def labeled_frames(
    pred_masks: torch.Tensor, labels: torch.Tensor, counted: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits at the labels' size and labels of the frames that count, both `[N, H, W]`.

    Args:
        pred_masks: `[B, E, T, h, w]`, logits of any size; scaled bilinearly.
        labels: `[B, E, T, H, W]`, masks of 0 and 1.
        counted: bool `[B, T]`, the frames that count.
    """
    shown = counted[:, None].expand(labels.shape[:3])
    logits = F.interpolate(pred_masks[shown][:, None].float(), labels.shape[-2:], mode="bilinear")[:, 0]
    return logits, labels[shown]
