import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BatchFeature

from lavseg.data.augmentation import ClipAugmentation
from lavseg.data.avsbench import load_avsbench
from lavseg.data.classes import row_classes
from lavseg.data.clip_rows import NamedRows
from lavseg.data.collator import ClipCollator
from lavseg.data.masks import row_masks
from lavseg.data.ref_avs import load_ref_avs
from lavseg.data.synthetic import write_ref_avs
from lavseg.data.synthetic.synthetic_avsbench import write_avsbench


class RecordingProcessor:
    needs_text = True
    needs_audio = True

    def __call__(self, **inputs):
        self.inputs = inputs
        return BatchFeature({"pixel_values": torch.zeros(len(inputs["video"]), 1)})


class DeafProcessor(RecordingProcessor):
    needs_audio = False


class AudioOnlyProcessor(RecordingProcessor):
    needs_text = False


@pytest.fixture
def processor():
    return RecordingProcessor()


@pytest.fixture
def audio_only():
    return AudioOnlyProcessor()


@pytest.fixture(scope="module")
def avsbench(tmp_path_factory):
    clips = {"s4": {"train": 1}, "v1s": {"train": 1}, "v2": {"train": 1}}
    return write_avsbench(tmp_path_factory.mktemp("avsbench"), clips, frame_size=(28, 36))


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


def test_a_processor_that_hears_nothing_gets_no_sound(ten):
    processor = DeafProcessor()
    ClipCollator(processor)([{**ten[0], "audio": None}])
    assert processor.inputs.keys() == {"video", "text", "return_tensors"}


def of_clips(rows, count):
    """So many rows about each of two clips."""
    names = list(dict.fromkeys(rows["clip"]))
    numbers = [[n for n, name in enumerate(rows["clip"]) if name == clip][:count] for clip in names]
    full = [chosen for chosen in numbers if len(chosen) == count]
    return [[rows[number] for number in chosen] for chosen in full[:2]]


def test_rows_about_one_clip_are_its_sentences_and_truths(processor, ten):
    clips = of_clips(ten, 2)
    batch = ClipCollator(processor)(clips)
    assert processor.inputs["text"] == [[row["text"] for row in clip] for clip in clips]
    assert len(processor.inputs["video"]) == len(processor.inputs["audio"]) == 2
    assert batch["labels"].shape[:2] == (2, 2) and batch["label_mask"].all() and batch["label_mask"].shape == (2, 10)
    for clip, truths in zip(clips, batch["labels"], strict=True):
        assert all(np.array_equal(row_masks(row), truth) for row, truth in zip(clip, truths, strict=True))


def test_rows_that_share_frames_are_taken_together_and_clips_of_as_many(processor, ten):
    places = {number: place for place, number in enumerate(ten["id"])}
    first, second = (NamedRows(ten).__getitems__([places[row["id"]] for row in clip]) for clip in of_clips(ten, 3))
    alone = {**second[0], "frames": list(second[0]["frames"])}
    batches = ClipCollator(processor).by_clip([first[0], second[0], alone, first[1], second[1], first[2]], 2)
    shapes = [tuple(batch["labels"].shape[:2]) for batch in batches]
    assert shapes == [(2, 1), (2, 2)]  # a third row of the first clip and the other by itself, and two of each
    expected = [[first[0], first[1]], [second[0], second[1]]]
    assert processor.inputs["text"] == [[row["text"] for row in clip] for clip in expected]
    for clip, truths in zip(expected, batches[1]["labels"], strict=True):
        assert all(np.array_equal(row_masks(row), truth) for row, truth in zip(clip, truths, strict=True))


def test_rows_about_one_clip_are_changed_alike(processor, ten):
    [clip, _] = of_clips(ten, 2)
    augment = ClipAugmentation(flip_probability=1, degrees=0, shear=0, grayscale_probability=0)
    batch = ClipCollator(processor, augment=augment)([clip])
    for row, truth in zip(clip, batch["labels"][0], strict=True):
        assert np.array_equal(row_masks(row)[..., ::-1], truth) and truth.any()
    [frames] = processor.inputs["video"]
    assert np.array_equal(np.asarray(frames[0]), np.asarray(clip[0]["frames"][0])[:, ::-1])


def test_rows_about_one_clip_have_as_many_labels(processor, ten):
    [clip, _] = of_clips(ten, 2)
    shorter = [clip[0], {**clip[1], "masks": clip[1]["masks"][:4]}]
    with pytest.raises(ValueError, match=rf"^masks: the rows about clip {clip[0]['clip']} have \[4, 10\]"):
        ClipCollator(processor)([shorter])


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


def test_labels_are_resized_as_told(processor, ten):
    batch = ClipCollator(processor, label_size=(14, 20), mask_resize="bilinear_gt0")([ten[0]])
    assert np.array_equal(batch["labels"][0, 0].numpy(), row_masks(ten[0], (14, 20), "bilinear_gt0"))


@pytest.mark.parametrize("probability", [-0.1, 1.5])
def test_a_share_is_from_0_to_1(processor, probability):
    with pytest.raises(ValueError, match="null_probability"):
        ClipCollator(processor, null_probability=probability)


def test_synthetic_nulls_take_a_sentence_about_something_else(processor, ten):
    rows = list(ten)
    batch = ClipCollator(processor, null_probability=1.0)(rows)
    changed = 0
    for label, [text], row in zip(batch["labels"], processor.inputs["text"], rows, strict=True):
        others = [
            other["text"]
            for other in rows
            if not other["is_null"] and other["clip"] != row["clip"] and other["object"] != row["object"]
        ]
        if row["is_null"] or not others:
            assert text == row["text"]
        else:
            assert text in others
            changed += 1
        assert label.any() == (not row["is_null"] and not others)
    assert changed > 2 and batch["label_mask"].all()


def test_one_clip_has_no_partner_for_a_synthetic_null(processor, ten):
    rows = [row for row in ten if row["clip"] == ten[0]["clip"]]
    batch = ClipCollator(processor, null_probability=1.0)(rows)
    assert processor.inputs["text"] == [[row["text"]] for row in rows] and batch["labels"].flatten(1).any(1).all()


def test_the_draw_of_synthetic_nulls_depends_on_the_rows_only(processor, ten):
    collate, rows, drawn = ClipCollator(processor, null_probability=0.5), list(ten), []
    for seed in (0, 1):
        np.random.seed(seed)
        for batch in (rows, rows[::-1]):
            drawn.append((collate(batch)["labels"].sum().item(), processor.inputs["text"]))
    assert drawn[:2] == drawn[2:]
    share = []
    for offset in range(12):
        shifted = [{**row, "id": row["id"] + 1000 * offset} for row in rows]
        collate(shifted)
        pairs = zip(processor.inputs["text"], rows, strict=True)
        share += [text != row["text"] for [text], row in pairs if not row["is_null"]]
    assert 0.4 < np.mean(share) < 0.6


def test_an_audio_visual_processor_gets_no_text(audio_only, ten, avsbench):
    for rows in (list(ten), list(load_avsbench(avsbench, "v2", "train"))):
        ClipCollator(audio_only)(rows)
        assert "text" not in audio_only.inputs and len(audio_only.inputs["video"]) == len(rows)


def test_rows_without_a_sentence_need_a_processor_that_takes_none(processor, avsbench):
    row = load_avsbench(avsbench, "v2", "train")[0]
    with pytest.raises(ValueError, match=f"text: clip {row['clip']} has no sentence, but RecordingProcessor reads one"):
        ClipCollator(processor)([row])


def test_synthetic_nulls_need_sentences(audio_only, ten):
    with pytest.raises(ValueError, match=r"null_probability: got 0\.5, but AudioOnlyProcessor reads no sentences"):
        ClipCollator(audio_only, null_probability=0.5)(list(ten))


def test_frames_without_a_label_are_marked(audio_only, avsbench):
    rows = [load_avsbench(avsbench, "v1s", "train")[0], load_avsbench(avsbench, "v2", "train")[0]]
    batch = ClipCollator(audio_only)(rows)
    assert batch["labels"].shape == (2, 1, 10, 28, 36) and batch["labels"][0, 0, 0].any()
    assert batch["label_mask"].tolist() == [[True] + [False] * 9, [True] * 10]
    assert not batch["labels"][0, :, 1:].any() and "class_labels" not in batch


def test_class_labels_on_demand(audio_only, avsbench):
    rows = [load_avsbench(avsbench, "v1s", "train")[0], load_avsbench(avsbench, "v2", "train")[0]]
    batch = ClipCollator(audio_only, label_size=(20, 24), class_labels=True)(rows)
    assert batch["class_labels"].shape == (2, 10, 20, 24) and batch["class_labels"].dtype == torch.uint8
    for row, classes, labels in zip(rows, batch["class_labels"], batch["labels"], strict=True):
        expected = row_classes(row, (20, 24))
        assert np.array_equal(classes[: len(expected)], expected) and not classes[len(expected) :].any()
        assert torch.equal(classes > 0, labels[0] > 0)
    with pytest.raises(ValueError, match="classes: the masks of clip"):
        ClipCollator(audio_only, class_labels=True)([load_avsbench(avsbench, "s4", "train")[0]])


def test_augmentation_changes_frames_and_labels_anew_in_each_epoch(audio_only, avsbench):
    rows = list(load_avsbench(avsbench, "v2", "train"))
    collate = ClipCollator(audio_only, class_labels=True, augment=ClipAugmentation())
    batches = []
    for collate.epoch in (0, 1, 0):
        batches.append((collate(rows), audio_only.inputs["video"]))
    expected = ClipAugmentation()(rows[0], 1)
    assert np.array_equal(batches[1][1][0][3], expected["frames"][3])
    assert np.array_equal(batches[1][0]["labels"][0, 0], row_masks(expected))
    assert np.array_equal(batches[1][0]["class_labels"][0], row_classes(expected))
    assert torch.equal(batches[0][0]["labels"], batches[2][0]["labels"])
    assert not torch.equal(batches[0][0]["labels"], batches[1][0]["labels"])


def test_masks_of_another_kind_than_the_frames_are_named(audio_only, avsbench):
    row = load_avsbench(avsbench, "v1s", "train")[0]
    jpeg = Image.new("RGB", row["masks"][0].size)
    jpeg.format = "JPEG"
    for augment in (None, lambda row, epoch: {**row, "masks": [mask.copy() for mask in row["masks"]]}):
        with pytest.raises(ValueError, match=f"^masks: those of clip {row['clip']} are JPEG"):
            ClipCollator(audio_only, augment=augment)([{**row, "masks": [jpeg]}])


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_sentence_is_named_with_its_clip(processor, ten, text):
    with pytest.raises(ValueError, match=f"text: clip {ten[0]['clip']} has no sentence"):
        ClipCollator(processor)([{**ten[0], "text": text}])


def test_without_augmentation_frames_pass_untouched(audio_only, ten):
    rows = [ten[0]]
    ClipCollator(audio_only)(rows)
    assert audio_only.inputs["video"][0] is rows[0]["frames"]


def test_key_frames_are_first_or_any_labelled_one_which_epoch_and_seed_draw(ten, processor, monkeypatch):
    monkeypatch.setattr(ClipCollator, "_sound", lambda collator, row: (np.zeros((1, 10)), 1))
    frames = [Image.new("RGB", (4, 4))] * 10
    rows = [{**ten[index], "frames": frames, "masks": frames[:count]} for index, count in enumerate((10, 2, 0))]
    rows[2]["is_null"] = True

    def drawn(**values):
        ClipCollator(processor, **values)(rows)
        return processor.inputs.get("key_frames")

    assert drawn() is None and drawn(key_frame="first") == [0, 0, 0]
    several = [drawn(key_frame="random", epoch=epoch) for epoch in range(30)]
    assert several == [drawn(key_frame="random", epoch=epoch) for epoch in range(30)]
    assert [{*frames} for frames in zip(*several, strict=True)][1] == {0, 1}
    assert all({*frames} > {0, 5, 9} for frames in list(zip(*several, strict=True))[::2])
    assert several[0] != drawn(key_frame="random", seed=1)
    with pytest.raises(ValueError, match=r"^key_frame: got 'best', expected 'first', 'random' or None"):
        ClipCollator(processor, key_frame="best")


def test_a_column_that_is_missing_is_named_with_what_needs_it(processor, ten):
    whole = list(ten.select(range(2)))
    for missing, values, reader in (
        ("id", {"key_frame": "random"}, "a random key_frame"),
        ("id", {"null_probability": 1.0}, "null_probability"),
        ("object", {"null_probability": 1.0}, "null_probability"),
        ("fid", {"object_ids": True}, "object_ids"),
        ("id", {"augment": ClipAugmentation()}, "ClipAugmentation"),
    ):
        rows = [{name: value for name, value in row.items() if name != missing} for row in whole]
        assert len(ClipCollator(processor)(rows)["labels"]) == len(rows)
        with pytest.raises(ValueError, match=rf"^{missing}: missing in a row, .*; {reader} needs this column$"):
            ClipCollator(processor, **values)(rows)


def test_sentences_about_one_object_of_a_clip_have_its_number(processor, ten):
    clips = of_clips(ten, 2)
    clips[0][0], clips[0][1] = {**clips[0][0], "is_null": False, "fid": 7}, {**clips[0][1], "is_null": False, "fid": 7}
    clips[1][0], clips[1][1] = {**clips[1][0], "is_null": False, "fid": 7}, {**clips[1][1], "is_null": True}
    assert "object_ids" not in ClipCollator(processor)(clips)
    found = ClipCollator(processor, object_ids=True)(clips)["object_ids"]
    assert found.shape == (2, 2, 2) and found[..., 1].tolist() == [[7, 7], [7, 0]]
    assert (found[:, 0, 0] == found[:, 1, 0]).all() and found[0, 0, 0] != found[1, 0, 0]
    assert torch.equal(found, ClipCollator(processor, object_ids=True)(clips)["object_ids"])
