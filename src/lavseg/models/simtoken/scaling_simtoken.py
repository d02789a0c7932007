"""From masks of padded squares to masks of frames, as SAM does it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F


def sizes_of_clips(original_sizes: Sequence[tuple[int, int]] | None, labels: torch.Tensor) -> Sequence[tuple[int, int]]:
    """Height and width of the frames of each clip; those of their `labels [B, E, T, h, w]` when None.

    Raises:
        ValueError: when there are more or fewer than clips.
    """
    if original_sizes is None:
        return [tuple(labels.shape[-2:])] * len(labels)
    if len(original_sizes) != len(labels):
        raise ValueError(
            f"original_sizes: has to hold (height, width) of each of {len(labels)} clips, got {len(original_sizes)}"
        )
    return original_sizes


def size_without_padding(size: tuple[int, int], edge: int) -> tuple[int, int]:
    """Height and width to which a frame of `size` is brought before it is padded to a square of `edge`."""
    height, width = (int(side * edge / max(size) + 0.5) for side in size)
    return height, width


def scale_without_padding(masks: torch.Tensor, seen: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """Mask logits `[N, 1, h, h]` of squares that held frames of `seen` height and width, at `size`: scaled to the edge
    of the squares, four times theirs, cut, and scaled again."""
    edge = 4 * masks.shape[-1]
    height, width = size_without_padding(seen, edge)
    square = F.interpolate(masks, (edge, edge), mode="bilinear")
    return F.interpolate(square[..., :height, :width], size, mode="bilinear")
