"""Batches for training and evaluation from rows of a data set and the processor of a model."""

from dataclasses import dataclass

import numpy as np
import torch
from transformers import BatchFeature, ProcessorMixin

from ..media import read_audio
from .ref_avs import row_masks


@dataclass
class ClipCollator:
    """Turns rows of `load_ref_avs` into the inputs of a model with labels; one row is a clip with one expression.

    Attributes:
        processor: called with `video`, `audio`, `text` and `sampling_rate`.
        label_size: height and width of the labels; None keeps the size of the frames, which must then be the same for
            all clips of a batch.

    Calling it returns what the processor returns with `labels` uint8 `[B, 1, T, h, w]` and `label_mask` bool `[B, T]`,
    false where a clip has fewer frames than the longest one of the batch.
    """

    processor: ProcessorMixin
    label_size: tuple[int, int] | None = None

    def __call__(self, rows: list[dict]) -> BatchFeature:
        sounds, rates = zip(*(read_audio(row["audio"]["bytes"] or row["audio"]["path"]) for row in rows), strict=True)
        inputs = self.processor(
            video=[row["frames"] for row in rows],
            audio=list(sounds),
            text=[[row["text"]] for row in rows],
            sampling_rate=list(rates),
            return_tensors="pt",
        )
        inputs["labels"], inputs["label_mask"] = self._labels(rows)
        return inputs

    def _labels(self, rows: list[dict]) -> tuple[torch.Tensor, torch.Tensor]:
        masks = [row_masks(row, self.label_size) for row in rows]
        sizes = {clip.shape[1:] for clip in masks}
        if len(sizes) > 1:
            raise ValueError(
                f"label_size: frames in this batch have different sizes {sorted(sizes)} (height, width); "
                "pass label_size=(height, width) to give all labels one size."
            )
        num_frames = max(len(clip) for clip in masks)
        labels = np.zeros((len(rows), 1, num_frames, *sizes.pop()), np.uint8)
        label_mask = np.zeros((len(rows), num_frames), bool)
        for index, clip in enumerate(masks):
            labels[index, 0, : len(clip)] = clip
            label_mask[index, : len(clip)] = True
        return torch.from_numpy(labels), torch.from_numpy(label_mask)
