"""Batches for training and evaluation from rows of a data set and the processor of a model."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from numbers import Real
from zlib import crc32

import numpy as np
import torch
from transformers import BatchFeature

from ..media import read_audio
from ..media.packets import SOUND_SLACK
from ..modeling.processing import AudioVisualProcessor
from .classes import row_classes
from .clip_rows import column
from .masks import check_masks, row_masks


@dataclass
class ClipCollator:
    """Turns rows of `load_ref_avs` or `load_avsbench` into the inputs of a model with labels. One row is one clip, or a
    list of rows with the same frames and sound is: then each of its clips has as many sentences and truths, `E`.

    ```python
    rows = load_ref_avs(data_root, split="train")
    collator = ClipCollator(processor, label_size=(256, 256))
    loss = model(**collator([rows[0], rows[1]])).loss
    of_one_clip = collator([[rows[0], {**rows[0], "text": "the other dog"}]])
    ```

    Attributes:
        processor: called with `video`, `audio`, `sampling_rate` and, where it needs text, the rows' `text`.
        label_size: height and width of the labels; None keeps the size of the frames, which must then be the same for
            all clips of a batch.
        mask_resize: how labels are brought to `label_size`, see `binary_masks`.
        null_probability: share of rows that become synthetic nulls, for training only: they get the expression of
            another clip of the batch that is about another kind of object, and blank labels. Null rows and rows
            without such a partner stay as they are. The draw depends on the `id` of the rows of a batch and on nothing
            else, so that a resumed training sees the same. That the expression fits nothing in the clip is likely, not
            certain.
        class_labels: whether to add the classes of the pixels, which rows of AVSBench's semantic release have.
        augment: changes a row before anything else, for training only; called with the row and `epoch`, such as
            `ClipAugmentation`.
        key_frame: for training only, the frame that a model with one learns on, its `training_key_frame`: "first", or
            "random" for any labelled one, drawn from `seed`, `epoch` and the `id` of the clip's first row.
        object_ids: whether to add, for training, numbers that tell which sentences are about the same object of a clip.
        seed: of the draw of key frames.
        epoch: number of the training epoch, set at the start of each; rows of a stream say it themselves.

    Calling it returns what the processor returns with `labels` uint8 `[B, E, T, h, w]` and `label_mask` bool `[B, T]`,
    false where a clip has fewer frames than the longest one of the batch or carries fewer labels than frames; with
    `class_labels` also that, class ids as uint8 `[B, T, h, w]`, and with `object_ids` long `[B, E, 2]`, numbers of clip
    and object, the latter 0 for all nulls of a clip.

    Raises:
        ValueError: when rows do not fit together, or lack the sentence, the classes or a column that are asked for.
    """

    processor: AudioVisualProcessor
    label_size: tuple[int, int] | None = None
    mask_resize: str = "nearest"
    null_probability: float = 0.0
    class_labels: bool = False
    augment: Callable[[dict, int], dict] | None = None
    key_frame: str | None = None
    object_ids: bool = False
    seed: int = 0
    epoch: int = 0

    def __post_init__(self):
        if not isinstance(self.null_probability, Real) or not 0 <= self.null_probability <= 1:
            raise ValueError(f"null_probability: got {self.null_probability!r}, has to be from 0 to 1")
        if self.key_frame not in (None, "first", "random"):
            raise ValueError(f"key_frame: got {self.key_frame!r}, expected 'first', 'random' or None")

    def __call__(self, rows: list[dict] | list[list[dict]]) -> BatchFeature:
        return self._batch(self._changed([[row] if isinstance(row, dict) else row for row in rows]))

    def by_clip(self, rows: list[dict], sentences: int) -> list[BatchFeature]:
        """Rows of which those about one clip hold the very same frames, as [`NamedRows`] gives them.

        Args:
            rows: a batch, in any order.
            sentences: rows that are taken together as one clip at most.

        Returns:
            For each number `E` of rows that clips have here, what calling it returns for these clips.
        """
        clips, same = defaultdict(list), defaultdict(list)
        for row in rows:
            clips[id(row["frames"])].append(row)
        parts = [found[at : at + sentences] for found in clips.values() for at in range(0, len(found), sentences)]
        for clip in self._changed(parts):
            same[len(clip)].append(clip)
        return [self._batch(alike) for _, alike in sorted(same.items())]

    def _changed(self, clips: list[list[dict]]) -> list[list[dict]]:
        """The rows of each clip as training asks for them."""
        self._check_text([row for clip in clips for row in clip])
        if self.augment is not None:
            clips = [self._augmented(clip) for clip in clips]
        return self._with_nulls(clips) if self.null_probability else clips

    def _batch(self, clips: list[list[dict]]) -> BatchFeature:
        firsts = [clip[0] for clip in clips]
        heard = {}
        if self.processor.needs_audio:
            sounds, rates = zip(*(self._sound(row) for row in firsts), strict=True)
            heard = {"audio": list(sounds), "sampling_rate": list(rates)}
        text = {"text": [[row["text"] for row in clip] for clip in clips]} if self.processor.needs_text else {}
        key_frames = {"key_frames": [self._key_frame(row) for row in firsts]} if self.key_frame else {}
        inputs = self.processor(
            video=[row["frames"] for row in firsts],
            return_tensors="pt",
            **heard,
            **text,
            **key_frames,
        )
        num_frames = max(len(row["frames"]) for row in firsts)
        masks = [self._masks(clip) for clip in clips]
        filled = _filled_up([each for clip in masks for each in clip], num_frames)
        inputs["labels"] = filled.unflatten(0, (len(clips), -1))
        inputs["label_mask"] = torch.arange(num_frames) < torch.tensor([[len(clip[0])] for clip in masks])
        if self.class_labels:
            inputs["class_labels"] = _filled_up([row_classes(row, self.label_size) for row in firsts], num_frames)
        if self.object_ids:
            inputs["object_ids"] = torch.tensor([[_object_ids(row) for row in clip] for clip in clips])
        return inputs

    def _key_frame(self, row: dict) -> int:
        if self.key_frame == "first":
            return 0
        labelled = len(row["frames"] if row["is_null"] else row["masks"])
        rng = np.random.default_rng([self.seed, row.get("epoch", self.epoch), column(row, "id", "a random key_frame")])
        return int(rng.integers(labelled))

    def _masks(self, clip: list[dict]) -> list[np.ndarray]:
        """Masks `[L, h, w]` of each row about a clip."""
        masks = [row_masks(row, self.label_size, self.mask_resize) for row in clip]
        lengths = sorted({len(each) for each in masks})
        if len(lengths) > 1:
            raise ValueError(f"masks: the rows about clip {clip[0]['clip']} have {lengths}, expected as many in each")
        return masks

    def _augmented(self, clip: list[dict]) -> list[dict]:
        """All rows about a clip changed in the same way, which the first one's `id` chooses."""
        for row in clip:
            # What was JPEG is not seen any more afterwards.
            if not row["is_null"]:
                check_masks(row)
        epoch = clip[0].get("epoch", self.epoch)
        if len(clip) == 1:
            return [self.augment(clip[0], epoch)]
        whole = self.augment({**clip[0], "masks": [mask for row in clip for mask in row["masks"]]}, epoch)
        masks, shared = iter(whole["masks"]), {"frames": whole["frames"], "audio": whole["audio"]}
        return [{**row, **shared, "masks": list(islice(masks, len(row["masks"])))} for row in clip]

    def _sound(self, row: dict) -> tuple[np.ndarray, int]:
        """Waveform and rate of a row's sound; where it ends well before its frames, one a second, silence follows."""
        try:
            waveform, rate = read_audio(row["audio"]["bytes"] or row["audio"]["path"])
        except ValueError as error:
            raise ValueError(f"clip {row['clip']}: {error}") from error
        missing = len(row["frames"]) * rate - waveform.shape[1]
        if missing > SOUND_SLACK * rate:
            waveform = np.pad(waveform, ((0, 0), (0, missing)))
        return waveform, rate

    def _check_text(self, rows: list[dict]) -> None:
        """Refuse rows without a sentence where one is to be read."""
        wordless = [row["clip"] for row in rows if not (row["text"] or "").strip()]
        if wordless and self.processor.needs_text:
            raise ValueError(
                f"text: clip {wordless[0]} has no sentence, but {type(self.processor).__name__} reads one; "
                "take a model without text for AVSBench, or rows of Ref-AVS"
            )
        if self.null_probability and not self.processor.needs_text:
            raise ValueError(
                f"null_probability: got {self.null_probability}, but {type(self.processor).__name__} reads no "
                "sentences, of which synthetic nulls are made; leave it at 0"
            )

    def _with_nulls(self, clips: list[list[dict]]) -> list[list[dict]]:
        rows = [row for clip in clips for row in clip]
        rng = np.random.default_rng([column(row, "id", "null_probability") for row in rows])
        changed = iter(
            self._as_null(row, rows, rng) if chosen and not row["is_null"] else row
            for row, chosen in zip(rows, rng.random(len(rows)) < self.null_probability, strict=True)
        )
        return [[next(changed) for _ in clip] for clip in clips]

    def _as_null(self, row: dict, rows: list[dict], rng: np.random.Generator) -> dict:
        others = (other for other in rows if not other["is_null"] and other["clip"] != row["clip"])
        kind = column(row, "object", "null_probability")
        texts = [other["text"] for other in others if column(other, "object", "null_probability") != kind]
        return {**row, "text": texts[rng.integers(len(texts))], "is_null": True} if texts else row


def _object_ids(row: dict) -> tuple[int, int]:
    return crc32(row["clip"].encode()), 0 if row["is_null"] else column(row, "fid", "object_ids")


def _filled_up(clips: list[np.ndarray], num_frames: int) -> torch.Tensor:
    """Clips `[L, h, w]` as one uint8 tensor `[B, num_frames, h, w]` that ends in zeros where they are shorter."""
    sizes = {clip.shape[1:] for clip in clips}
    if len(sizes) > 1:
        raise ValueError(
            f"label_size: frames in this batch have different sizes {sorted(sizes)} (height, width); "
            "pass label_size=(height, width) to give all labels one size."
        )
    filled = np.zeros((len(clips), num_frames, *sizes.pop()), np.uint8)
    for index, clip in enumerate(clips):
        filled[index, : len(clip)] = clip
    return torch.from_numpy(filled)
