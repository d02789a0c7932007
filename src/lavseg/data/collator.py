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
        mask_resize: how labels are brought to `label_size`, see `binary_masks`.
        null_probability: share of rows that become synthetic nulls, for training only: they get the expression of
            another clip of the batch that is about another kind of object, and blank labels. Null rows and rows
            without such a partner stay as they are. The draw depends on the `id` of the rows of a batch and on nothing
            else, so that a resumed training sees the same. That the expression fits nothing in the clip is likely, not
            certain.

    Calling it returns what the processor returns with `labels` uint8 `[B, 1, T, h, w]` and `label_mask` bool `[B, T]`,
    false where a clip has fewer frames than the longest one of the batch.
    """

    processor: ProcessorMixin
    label_size: tuple[int, int] | None = None
    mask_resize: str = "nearest"
    null_probability: float = 0.0

    def __post_init__(self):
        if not 0 <= self.null_probability <= 1:
            raise ValueError(f"null_probability: got {self.null_probability}, has to be from 0 to 1")

    def __call__(self, rows: list[dict]) -> BatchFeature:
        if self.null_probability:
            rows = self._with_nulls(rows)
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

    def _with_nulls(self, rows: list[dict]) -> list[dict]:
        rng = np.random.default_rng([row["id"] for row in rows])
        return [
            self._as_null(row, rows, rng) if chosen and not row["is_null"] else row
            for row, chosen in zip(rows, rng.random(len(rows)) < self.null_probability, strict=True)
        ]

    def _as_null(self, row: dict, rows: list[dict], rng: np.random.Generator) -> dict:
        texts = [
            other["text"]
            for other in rows
            if not other["is_null"] and other["clip"] != row["clip"] and other["object"] != row["object"]
        ]
        return {**row, "text": texts[rng.integers(len(texts))], "is_null": True} if texts else row

    def _labels(self, rows: list[dict]) -> tuple[torch.Tensor, torch.Tensor]:
        masks = [row_masks(row, self.label_size, self.mask_resize) for row in rows]
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
