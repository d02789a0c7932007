"""A batch of clips as AuralSAM2 takes it: checks of its shapes, and its clips grouped by length."""

from dataclasses import dataclass

import torch


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


def group_clips(
    batch: int, frame_mask: torch.Tensor, audio_mask: torch.Tensor, labeled: torch.Tensor
) -> list[ClipGroup]:
    """Group the clips of a batch by length.

    This is the only place of a forward pass that waits for the device.

    Args:
        batch: number of clips.
        frame_mask, labeled: bool `[B, T]`; audio_mask: bool `[B, A]`.

    Raises:
        ValueError: when a clip has no real frame or no real patch of sound.
    """
    num_frames = frame_mask.shape[1]
    flags = torch.cat([frame_mask, labeled, audio_mask.any(1, keepdim=True)], dim=1).tolist()
    lengths = [sum(row[:num_frames]) for row in flags]
    if not all(lengths) or not all(row[-1] for row in flags):
        raise ValueError("frame_mask and audio_mask: every clip needs a real frame and a real patch of sound")
    groups = []
    for length in sorted(set(lengths)):
        clips = [clip for clip in range(batch) if lengths[clip] == length]
        labels = [[frame for frame in range(length) if flags[clip][num_frames + frame]] for clip in clips]
        groups.append(ClipGroup(clips, length, labels, batch))
    return groups


def check_shapes(
    pixel_values: torch.Tensor,
    input_features: torch.Tensor,
    input_ids: torch.Tensor | None,
    frame_mask: torch.Tensor,
    audio_mask: torch.Tensor,
    labels: torch.Tensor | None,
    class_labels: torch.Tensor | None,
) -> None:
    """Compare the shapes of the inputs of [`AuralSam2Model`] with that of `pixel_values`.

    Raises:
        ValueError: that names the first input which does not fit.
    """
    batch, num_frames = pixel_values.shape[:2]
    expected = {
        "input_features": ((input_features.shape[0], *input_features.shape[2:3]), (batch, 2)),
        "frame_mask": (frame_mask.shape, (batch, num_frames)),
        "audio_mask": (audio_mask.shape, tuple(input_features.shape[:2])),
    }
    if input_ids is not None:
        expected["input_ids"] = (input_ids.shape[:1], (batch,))
    if labels is not None:
        expressions = 1 if input_ids is None else input_ids.shape[1]
        expected["labels"] = (labels.shape[:3], (batch, expressions, num_frames))
    if class_labels is not None:
        expected["class_labels"] = ((class_labels.dim(), *class_labels.shape[:2]), (4, batch, num_frames))
    axes = {
        "input_features": "[clips, patches, 2, 96, 64] of stereo sound",
        "input_ids": "[clips, expressions, tokens]",
        "frame_mask": "[clips, frames]",
        "audio_mask": "[clips, patches]",
        "labels": "[clips, expressions, frames, height, width]",
        "class_labels": "four axes, [clips, frames, height, width],",
    }
    for name, (given, wanted) in expected.items():
        if tuple(given) != tuple(wanted):
            raise ValueError(
                f"{name}: has to be {axes[name]} for the {batch} clips of {num_frames} frames in pixel_values, "
                f"got {tuple(given)} where {tuple(wanted)} belongs"
            )
