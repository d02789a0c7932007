import csv
import wave
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image

from flat_cast import FlatCast, heard, shown
from lavseg.data.masks import row_masks
from lavseg.data.ref_avs import load_ref_avs
from lavseg.data.synthetic import row_kinds, row_novelties, write_ref_avs
from lavseg.data.synthetic.cast import SEEN, UNSEEN
from lavseg.data.synthetic.object_tables import clip_objects
from lavseg.media import read_audio
from sentence_reader import read

SIZE = (28, 36)
CLIPS = {"train": 9, "val": 3, "test_s": 3, "test_u": 4, "test_n": 4}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_ref_avs(tmp_path_factory.mktemp("data") / "REFAVS", CLIPS, frame_size=SIZE)


@pytest.fixture(scope="module")
def table(root):
    return read_table(root)


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    clips = {"train": 40, "test_s": 3, "test_u": 6, "test_n": 2}
    return write_ref_avs(tmp_path_factory.mktemp("data") / "flat", clips, frame_size=SIZE, cast=FlatCast(), seed=2)


def read_table(root):
    with (root / "metadata.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def parts(row):
    return row["uid"].rsplit("_", 2)


def test_csv_has_crlf_and_the_official_columns(root):
    content = (root / "metadata.csv").read_bytes()
    assert content.startswith(b"vid,uid,split,fid,exp\r\n")
    assert content.count(b"\n") == content.count(b"\r\n")


def test_numbers_of_clips(table):
    clips = defaultdict(set)
    for row in table:
        clips[row["split"]].add(parts(row)[0])
    assert {split: len(names) for split, names in clips.items()} == {**CLIPS, "TODO": 1}


def test_ids_are_awkward(table):
    vids = {row["vid"] for row in table}
    assert any(vid.startswith("-") for vid in vids)
    assert any("_" in vid.rsplit("_", 2)[0] for vid in vids)
    assert all(len(vid.rsplit("_", 2)[0]) == 11 for vid in vids)
    for vid in vids:
        start, end = vid.split("_")[-2:]
        assert int(end) - int(start) == 10_000


def test_null_clips_have_folders_of_their_own(root, table):
    nulls = [row for row in table if parts(row)[1] == "null"]
    assert {row["split"] for row in nulls} == {"train", "val", "test_n"}
    assert {parts(row)[0][:7] for row in nulls} == {"null_c-", "null_m-"}
    seen_vids = {row["vid"] for row in table if row["split"] == "test_s"}
    for row in nulls:
        clip = parts(row)[0]
        assert clip[7:] == row["vid"] and row["fid"] == "0"
        assert (root / "media" / clip / "audio.wav").is_file()
        masks = [np.asarray(Image.open(path)) for path in (root / "gt_mask" / clip / "fid_0").iterdir()]
        assert len(masks) == 10 and not np.any(masks)
    assert seen_vids & {row["vid"] for row in nulls if row["split"] == "test_n"}


def test_rows_hold_the_traps(root, table):
    assert len({tuple(row.values()) for row in table}) == len(table) - 1
    fids = defaultdict(set)
    for row in table:
        fids[parts(row)[0]].add(int(row["fid"]))
    assert any(max(values) >= len(values) for values in fids.values())
    trained = {parts(row)[1] for row in table if row["split"] == "train"} - {"null"}
    unseen = [parts(row)[1] for row in table if row["split"] == "test_u"]
    assert trained <= set(SEEN) and set(unseen) & trained and set(unseen) & set(UNSEEN)
    modes = {Image.open(path).mode for path in root.glob("gt_mask/*/*/00000.png")}
    assert modes == {"L", "RGB"}


def test_sound_files(root):
    forms = set()
    for path in root.glob("media/*/audio.wav"):
        with wave.open(str(path)) as file:
            assert file.getsampwidth() == 2
            forms.add((file.getnchannels(), file.getframerate(), file.getnframes() / file.getframerate()))
    assert forms == {(1, 44100, 10.0), (2, 16000, 9.7), (2, 16000, 10.0), (1, 16000, 10.0)}


def test_kinds_belong_to_the_rows(root, table):
    kinds = row_kinds(root)
    assert len(kinds) == len(table) and set(kinds) == {"words", "sound", "both", "null"}
    assert [kind == "null" for kind in kinds] == [parts(row)[1] == "null" for row in table]


def test_each_clip_of_test_u_asks_for_what_training_does_not(flat):
    table, novelties = read_table(flat), row_novelties(flat)
    named = {novelty: defaultdict(set) for novelty in ("seen", "category", "combination")}
    clips = defaultdict(set)
    for row, novelty in zip(table, novelties, strict=True):
        clips[row["split"], parts(row)[0]].add(novelty)
        meaning = read(row["exp"])
        assert (novelty == "category") == (parts(row)[1] in FlatCast().unseen)
        for value in (("at", meaning.place), ("moves", meaning.motion)):
            if meaning.name and value[1]:
                named[novelty][meaning.name].add(value)
    for (split, _), found in clips.items():
        assert "seen" in found and (found & {"category", "combination"} != set()) == (split == "test_u")
    for name, values in named["combination"].items():
        assert not values & named["seen"][name]
    halves = [found - {"seen"} for (split, _), found in clips.items() if split == "test_u"]
    assert halves.count({"category"}) == halves.count({"combination"}) == 3


def test_a_cast_without_unseen_categories_is_asked_for_combinations(tmp_path):
    cast = FlatCast(categories=FlatCast().categories[:4], unseen=())
    root = write_ref_avs(tmp_path, {"test_u": 2}, num_frames=2, frame_size=SIZE, cast=cast)
    assert row_novelties(root).count("combination") >= 2 and "category" not in row_novelties(root)


def test_kinds_are_mixed(flat):
    kinds = [kind for kind, row in zip(row_kinds(flat), read_table(flat), strict=True) if row["split"] == "train"]
    assert 0.1 < kinds.count("null") / len(kinds) < 0.3
    rest = [kind for kind in kinds if kind != "null"]
    shares = [rest.count(kind) / len(rest) for kind in ("words", "sound", "both")]
    assert shares == pytest.approx([0.42, 0.29, 0.29], abs=0.12)


def test_the_louder_of_two_alike_is_asked_for_in_stereo_only(flat):
    asked = 0
    for row in read_table(flat):
        meaning = read(row["exp"])
        if meaning.name and meaning.compared:
            with wave.open(str(flat / "media" / parts(row)[0] / "audio.wav")) as file:
                assert file.getnchannels() == 2
            asked += 1
    assert asked


@pytest.mark.parametrize("split", ["test_s", "test_u", "test_n", "TODO"])
def test_files_show_and_play_what_the_sentence_says(flat, split):
    objects = clip_objects(flat)
    for row in load_ref_avs(flat, split):
        masks, meaning = row_masks(row).astype(bool), read(row["text"])
        waveform, rate = read_audio(row["audio"]["path"])
        sounding = heard(waveform, rate)
        assert sounding == {item.category for item in objects[row["clip"]] if item.seconds.any()}
        if row["is_null"]:
            assert not masks.any()
            continue
        category = shown(np.stack([np.asarray(frame) for frame in row["frames"]])[masks])
        assert category == row["object"] and meaning.noun in (category, "one", "object", "instrument", "animal")
        assert meaning.heard is None or meaning.heard == (category in sounding)
        assert meaning.compared is None or category in sounding
        columns = np.argwhere(masks)[:, 2]
        assert meaning.place is None or (columns.mean() < SIZE[1] / 2) == (meaning.place == "left")


def contents(root, clip):
    return [path.read_bytes() for path in sorted((root / "media" / clip / "frames").iterdir())]


def test_a_clip_depends_on_seed_and_name_only(root, table, tmp_path):
    again = write_ref_avs(tmp_path / "again", {"test_s": 3}, frame_size=SIZE)
    other = write_ref_avs(tmp_path / "other", {"test_s": 3}, frame_size=SIZE, seed=1)
    clips = {parts(row)[0] for row in table if row["split"] == "test_s"}
    assert {path.name for path in (again / "media").iterdir()} >= clips
    assert all(contents(again, clip) == contents(root, clip) for clip in clips)
    assert load_ref_avs(again, "test_s")["text"][:-1] == load_ref_avs(root, "test_s")["text"][:]
    assert not {path.name for path in (other / "media").iterdir()} & clips


def test_progress_wraps_the_clips(tmp_path):
    seen = []
    write_ref_avs(
        tmp_path, {"val": 2}, num_frames=2, frame_size=SIZE, progress=lambda clips: seen.extend(clips) or clips
    )
    assert len(seen) == 3


def test_bad_clips_are_refused(tmp_path):
    for clips in ({"test": 3}, {}, {"train": 0}, {"train": -1, "val": 2}, {"train": 1.5}):
        with pytest.raises(ValueError, match="clips: got"):
            write_ref_avs(tmp_path / "new", clips)
    assert not (tmp_path / "new").exists()


def test_a_folder_in_use_is_refused(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ValueError, match=r"^root: .* is not empty; give a new or an empty folder"):
        write_ref_avs(tmp_path, {"train": 1})


def test_kinds_of_another_data_set(tmp_path):
    with pytest.raises(ValueError, match=r"no kinds\.csv"):
        row_kinds(tmp_path)
    (tmp_path / "kinds.csv").write_text("kind\nwords\n")
    assert row_kinds(tmp_path) == ["words"]
    with pytest.raises(ValueError, match=r"kinds\.csv has no column novelty; write the folder anew"):
        row_novelties(tmp_path)
