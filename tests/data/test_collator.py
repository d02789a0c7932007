import numpy as np
import pytest
import torch
from transformers import BatchFeature

from lavseg.data.collator import ClipCollator
from lavseg.data.ref_avs import load_ref_avs, row_masks
from lavseg.data.synthetic import write_ref_avs


class RecordingProcessor:
    def __call__(self, **inputs):
        self.inputs = inputs
        return BatchFeature({"pixel_values": torch.zeros(len(inputs["video"]), 1)})


@pytest.fixture
def processor():
    return RecordingProcessor()


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    root = write_ref_avs(tmp_path_factory.mktemp("ten"), {"train": 4, "test_n": 2}, frame_size=(28, 36))
    return load_ref_avs(root, "train")


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    root = write_ref_avs(tmp_path_factory.mktemp("six"), {"val": 2}, num_frames=6, frame_size=(28, 36))
    return load_ref_avs(root, "val")


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    root = write_ref_avs(tmp_path_factory.mktemp("wide"), {"val": 1}, frame_size=(28, 48))
    return load_ref_avs(root, "val")


def test_the_processor_gets_clips_sounds_and_sentences(processor, ten):
    rows = [ten[index] for index in range(len(ten))]
    batch = ClipCollator(processor)(rows)
    given = processor.inputs
    assert given["return_tensors"] == "pt" and len(batch["pixel_values"]) == len(rows)
    assert given["text"] == [[row["text"]] for row in rows]
    assert [len(clip) for clip in given["video"]] == [10] * len(rows)
    assert {(rate, len(sound)) for rate, sound in zip(given["sampling_rate"], given["audio"], strict=True)} == {
        (44100, 1),
        (16000, 2),
        (16000, 1),
    }
    assert all(sound.dtype == np.float32 and sound.ndim == 2 for sound in given["audio"])


def test_labels_are_the_masks_and_blank_for_null_rows(processor, ten):
    rows = list(ten)
    batch = ClipCollator(processor)(rows)
    assert batch["labels"].shape == (len(rows), 1, 10, 28, 36) and batch["labels"].dtype == torch.uint8
    assert batch["label_mask"].shape == (len(rows), 10) and batch["label_mask"].dtype == torch.bool
    assert batch["label_mask"].all()
    for label, row in zip(batch["labels"], rows, strict=True):
        assert np.array_equal(label[0].numpy(), row_masks(row))
        assert label.any() != row["is_null"]
    assert any(row["is_null"] for row in rows)


def test_shorter_clips_are_filled_up(processor, ten, six):
    batch = ClipCollator(processor)([six[0], ten[0]])
    assert batch["labels"].shape[2] == 10
    assert batch["label_mask"].sum(1).tolist() == [6, 10]
    assert batch["labels"][0, :, :6].any() and not batch["labels"][0, :, 6:].any()


def test_sizes_must_agree_or_be_given(processor, ten, wide):
    with pytest.raises(ValueError, match=r"label_size: .*\(28, 36\), \(28, 48\)"):
        ClipCollator(processor)([ten[0], wide[0]])
    batch = ClipCollator(processor, label_size=(14, 20))([ten[0], wide[0]])
    assert batch["labels"].shape == (2, 1, 10, 14, 20) and batch["labels"].any((1, 2, 3, 4)).all()


def test_sound_may_come_as_bytes(processor, ten):
    row = dict(ten[0])
    with open(row["audio"]["path"], "rb") as file:
        row["audio"] = {"path": None, "bytes": file.read()}
    ClipCollator(processor)([ten[0], row])
    first, second = processor.inputs["audio"]
    assert np.array_equal(first, second)
