"""A batch of clips as AuralSAM2 takes it: its clips grouped by length."""

from dataclasses import dataclass

import torch

from ...modeling.inputs import real_lengths


@dataclass(frozen=True)
class ClipGroup:
    """Clips of one length: `clips` their places in a batch of `batch`, `labeled` the frames of each with labels."""

    clips: list[int]
    length: int
    labeled: list[list[int]]
    batch: int

    def pick(self, values: torch.Tensor) -> torch.Tensor:
        """The rows of these clips; `values [B n, ...]` has the same number `n` of rows for each clip."""
        if len(self.clips) == self.batch:
            return values
        rows = values.unflatten(0, (self.batch, -1))
        return torch.cat([rows[clip] for clip in self.clips])

    def place(self, values: torch.Tensor, total: torch.Tensor) -> None:
        """Write what was found for these clips, `[b, n, length, ...]` with or without the first axes merged, to
        `total [B, n, T, ...]`."""
        rows_by_clip = values.reshape(len(self.clips), -1, self.length, *total.shape[3:])
        for clip, rows in zip(self.clips, rows_by_clip, strict=True):
            total[clip, :, : self.length] = rows.to(total.dtype)


def group_clips(lengths: list[int], audio_mask: torch.Tensor, labeled: torch.Tensor) -> list[ClipGroup]:
    """Group the clips of a batch by length; waits for the device.

    Args:
        lengths: number of real frames of each clip.
        audio_mask: bool `[B, A]`.
        labeled: bool `[B, T]`.

    Raises:
        ValueError: when a clip has no real patch of sound, or one that comes after padding.
    """
    num_frames = labeled.shape[1]
    flags = torch.cat([labeled, audio_mask], dim=1).tolist()
    real_lengths("audio_mask", [row[num_frames:] for row in flags])
    groups = []
    for length in sorted(set(lengths)):
        clips = [clip for clip, other in enumerate(lengths) if other == length]
        labels = [[frame for frame in range(length) if flags[clip][frame]] for clip in clips]
        groups.append(ClipGroup(clips, length, labels, len(lengths)))
    return groups
