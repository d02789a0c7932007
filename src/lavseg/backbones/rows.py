"""Rows of a batch, picked without waiting for the device that holds it."""

from collections.abc import Sequence

import torch


def as_index(numbers: Sequence[int], device: torch.device) -> torch.Tensor:
    """Numbers that the host knows, as a long tensor on a device."""
    pinned = torch.tensor(numbers, dtype=torch.long, pin_memory=device.type == "cuda")
    return pinned.to(device, non_blocking=True)


def frames_of(lengths: Sequence[int]) -> tuple[list[int], list[int]]:
    """For every frame of clips of these lengths, the clip and the place in it; clip by clip."""
    clips = [clip for clip, length in enumerate(lengths) for _ in range(length)]
    return clips, [frame for length in lengths for frame in range(length)]


def true_places(mask: torch.Tensor, count: int) -> torch.Tensor:
    """Places of the `count` true entries of the flattened `mask`, ascending, as `nonzero` would give them.

    `nonzero` and indexing with a mask wait, as the host does not know the shape of what they return.
    """
    return (~mask).flatten().int().argsort(stable=True)[:count]
