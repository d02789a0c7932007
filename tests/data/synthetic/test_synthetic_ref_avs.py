import csv
import wave
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image

from lavseg.data.masks import row_masks
from lavseg.data.ref_avs import load_ref_avs
from lavseg.data.synthetic import row_kinds, write_ref_avs
from lavseg.data.synthetic.scene import COLORS, SEEN, UNSEEN

SIZE = (28, 36)
CLIPS = {"train": 9, "val": 3, "test_s": 3, "test_u": 3, "test_n": 4}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_ref_avs(tmp_path_factory.mktemp("data") / "REFAVS", CLIPS, frame_size=SIZE)


@pytest.fixture(scope="module")
def table(root):
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
    assert "plus-sign" in {parts(row)[1] for row in table}
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


@pytest.mark.parametrize("split", ["train", "val", "test_s", "test_u", "TODO"])
def test_masks_on_disk_show_the_object_of_the_row(root, split):
    names = list(COLORS)
    palette = np.array([COLORS[name] for name in names])
    colored = 0
    for row in load_ref_avs(root, split):
        masks = row_masks(row).astype(bool)
        assert masks[0].any() != row["is_null"]
        said = [name for name in names if name in row["text"]]
        if said and not row["is_null"]:
            pixels = np.stack([np.asarray(frame) for frame in row["frames"]])[masks]
            assert names[np.abs(palette - np.median(pixels, axis=0)).sum(1).argmin()] == said[0]
            colored += 1
    assert colored


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
