import csv
import json
import wave

import numpy as np
import pytest
from PIL import Image

from flat_cast import COLORS, FlatCast, heard, shown
from lavseg.data.avsbench import SPLITS, SUBSETS, load_avsbench
from lavseg.data.classes import CLASSES, row_classes
from lavseg.data.masks import row_masks
from lavseg.data.synthetic.cast import SEEN
from lavseg.data.synthetic.synthetic_avsbench import draw_sounding_objects, write_avsbench
from lavseg.media import read_audio

SIZE = (28, 36)
COUNTS = {"train": 3, "val": 1, "test": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_avsbench(tmp_path_factory.mktemp("data") / "AVSBench", {name: COUNTS for name in SUBSETS}, SIZE)


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_tables_have_the_official_columns(root):
    heads = {
        "Single-source/s4_meta_data.csv": b"name,start,category,split\n",
        "Multi-sources/ms3_meta_data.csv": b"video_id,split\n",
        "metadata.csv": b"vid,uid,s_min,s_sec,a_obj,split,label\n",
        "avss_index/metadata.csv": b"vid,uid,s_min,s_sec,a_obj,split,label\n",
    }
    for name, head in heads.items():
        content = (root / name).read_bytes()
        assert content.startswith(head) and b"\r" not in content
    labels = json.loads((root / "label2idx.json").read_text())
    assert labels == {name: index for index, name in enumerate(CLASSES)}


def test_numbers_of_clips(root):
    for subset in SUBSETS:
        assert {split: len(load_avsbench(root, subset, split)) for split in SPLITS} == COUNTS


def test_ids_tell_the_time(root):
    for row in table(root / "metadata.csv"):
        if row["label"] == "v1m":
            assert row["uid"] == row["vid"]
            continue
        name, start, end = row["uid"].rsplit("_", 2)
        assert name == row["vid"] and len(name) == 11
        assert int(start) == 1000 * (60 * int(row["s_min"]) + int(row["s_sec"]))
        assert int(end) - int(start) == (10_000 if row["label"] == "v2" else 5_000)
    names = [row["video_id"] for row in table(root / "Multi-sources/ms3_meta_data.csv")]
    assert {len(name) for name in names} == {11, 13}
    assert {row["a_obj"] for row in table(root / "metadata.csv")} >= {"off-the-screen"}


def test_single_source_clips_have_one_object_in_every_frame(root):
    for subset in ("s4", "v1s"):
        for split in SPLITS:
            for row in load_avsbench(root, subset, split):
                assert row_masks(row).any((1, 2)).all()
                if subset == "v1s":
                    assert np.unique(row_classes(row)).tolist() == [0, CLASSES.index(row["object"])]
    s4, v1s = (load_avsbench(root, subset, "train") for subset in ("s4", "v1s"))
    assert v1s["object"][:] == s4["object"][:] and set(v1s["object"]) <= set(SEEN)


def test_multi_source_clips_have_several_classes_and_a_blank_frame(root):
    rows = [row for subset in ("v1m", "v2") for split in SPLITS for row in load_avsbench(root, subset, split)]
    assert any(len(np.unique(classes)) > 2 for row in rows for classes in row_classes(row))
    for row in rows:
        assert {CLASSES[index] for index in np.unique(row_classes(row))[1:]} <= set(row["object"].split("_"))
    for subset in ("ms3", "v1m", "v2"):
        assert not row_masks(load_avsbench(root, subset, "train")[0])[-1].any()


def test_only_what_sounds_is_labeled_while_it_does(tmp_path):
    cast = FlatCast()
    root = write_avsbench(tmp_path, {"v1m": {"test": 4}, "v2": {"test": 4}}, SIZE, cast=cast)
    labeled = 0
    for row in [*load_avsbench(root, "v1m", "test"), *load_avsbench(root, "v2", "test")]:
        waveform, rate = read_audio(row["audio"]["path"])
        for second, (frame, classes) in enumerate(zip(row["frames"], row_classes(row), strict=True)):
            sounding = heard(waveform[:, second * rate : (second + 1) * rate], rate)
            for name in (CLASSES[index] for index in np.unique(classes)[1:]):
                pixels = np.asarray(frame)[classes == CLASSES.index(name)]
                assert name in sounding and (len(pixels) < 50 or shown(pixels) == name)
                labeled += 1
            rest = np.asarray(frame)[classes == 0].astype(int)
            for name in sounding:
                near = np.abs(rest - COLORS[name]).sum(1) < 60
                assert near.mean() < 0.02, f"{name} sounds and is not labeled"
    assert labeled > 20


def test_two_alike_sound_at_the_same_time_or_neither_does():
    shared = 0
    for seed in range(120):
        several = seed % 2 == 1
        objects = draw_sounding_objects(np.random.default_rng(seed), 5, several)
        sounding = [item for item in objects if item.seconds.any()]
        assert len(sounding) > 1 if several else [item.seconds.sum() for item in sounding] == [5]
        for item in objects:
            alike = [other for other in objects if other.category == item.category]
            assert all(np.array_equal(item.seconds, other.seconds) for other in alike)
            shared += len(alike) > 1
    assert shared > 10


def test_categories_have_to_be_classes_where_classes_are_written(tmp_path):
    cast = FlatCast(categories=("guitar", "drum", "dog", "spoon"), unseen=())
    with pytest.raises(ValueError, match="cast: spoon: no class of AVSBench-semantic; name categories as"):
        write_avsbench(tmp_path, {"s4": {"test": 1}, "v1s": {"test": 1}}, SIZE, cast=cast)


def test_files_are_as_released(root):
    masks = root.glob("Single-source/s4_data/gt_masks/train/*/*/*")
    assert {path.name.rsplit("_", 1)[1] for path in masks} == {"1.png"}
    frames = next(root.glob("Multi-sources/ms3_data/visual_frames/*"))
    assert {path.name for path in frames.iterdir()} == {f"{frames.name}.mp4_{number}.png" for number in range(1, 6)}
    with Image.open(next(frames.iterdir())) as image:
        assert image.size == (224, 224)
    forms = set()
    for path in root.rglob("*.wav"):
        with wave.open(str(path)) as file:
            forms.add((file.getnchannels(), file.getframerate(), file.getnframes() / file.getframerate()))
    assert forms == {(channels, 16000, length) for channels in (1, 2) for length in (5.0, 10.0)}


def test_a_clip_depends_on_seed_and_name_only(root, tmp_path):
    again = write_avsbench(tmp_path / "again", {"v1s": {"test": 1}}, SIZE)
    other = write_avsbench(tmp_path / "other", {"v1s": {"test": 1}}, SIZE, seed=1)
    row, same = load_avsbench(root, "v1s", "test")[0], load_avsbench(again, "v1s", "test")[0]
    assert row["uid"] == same["uid"] != load_avsbench(other, "v1s", "test")[0]["uid"]
    assert np.array_equal(row_masks(row), row_masks(same))
    assert [frame.tobytes() for frame in row["frames"]] == [frame.tobytes() for frame in same["frames"]]
    assert {path.name for path in again.iterdir()} == {"v1s", "metadata.csv", "avss_index", "label2idx.json"}


def test_progress_wraps_the_scenes(tmp_path):
    seen = []
    clips = {"s4": {"val": 1}, "v1s": {"val": 2}}
    write_avsbench(tmp_path, clips, SIZE, progress=lambda scenes: seen.extend(scenes) or scenes)
    assert [scene.subsets for scene in seen] == [("s4", "v1s"), ("v1s",)]


def test_bad_clips_are_refused(tmp_path):
    for clips in ({}, {"v3": {"train": 1}}, {"s4": {}}, {"s4": {"test_s": 1}}, {"v2": {"val": -1}}):
        with pytest.raises(ValueError, match="clips: got"):
            write_avsbench(tmp_path / "new", clips)
    assert not (tmp_path / "new").exists()


def test_a_folder_in_use_is_refused(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ValueError, match=r"^root: .* is not empty; give a new or an empty folder"):
        write_avsbench(tmp_path, {"s4": {"train": 1}})
