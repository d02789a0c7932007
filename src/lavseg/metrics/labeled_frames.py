"""From a batch of clips to the frames that a metric scores."""

from collections.abc import Callable

import torch


def labeled_frames(
    pred_masks: torch.Tensor,
    labels: torch.Tensor,
    counted: torch.Tensor,
    scale_masks: Callable[[torch.Tensor, tuple[int, int]], torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits at the labels' size and labels of the frames that count, both `[N, H, W]`.

    Args:
        pred_masks: `[B, E, T, h, w]`, logits of any size.
        labels: `[B, E, T, H, W]`, masks of 0 and 1.
        counted: bool `[B, T]`, the frames that count.
        scale_masks: brings logits `[N, h, w]` to a size, such as the model's own `scale_masks`.
    """
    shown = counted[:, None].expand(labels.shape[:3])
    return scale_masks(pred_masks[shown].float(), tuple(labels.shape[-2:])), labels[shown]
