import csv
import json
import shutil
import warnings
import wave

import numpy as np
import pytest
from PIL import Image

from conftest import golden_files
from lavseg.data.collator import ClipCollator
from lavseg.data.masks import row_masks
from lavseg.data.ref_avs import load_ref_avs
from lavseg.data.synthetic import write_ref_avs
from lavseg.data.synthetic.cast import UNSEEN
from lavseg.data.tables import DataError, DataWarning
from lavseg.media import read_audio

SIZE = (28, 36)
COLUMNS = ("vid", "uid", "split", "fid", "exp")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    clips = {"train": 3, "val": 2, "test_s": 2, "test_u": 2, "test_n": 2}
    return write_ref_avs(tmp_path_factory.mktemp("data") / "REFAVS", clips, num_frames=12, frame_size=SIZE)


@pytest.fixture
def root(written, tmp_path):
    return shutil.copytree(written, tmp_path / "REFAVS")


def read_rows(root):
    with (root / "metadata.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(root, rows, columns=COLUMNS, encoding="utf-8"):
    with (root / "metadata.csv").open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, columns, lineterminator="\r\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("split", ["train", "val", "test_s", "test_u", "test_n", "TODO"])
def test_rows_follow_the_csv(written, split):
    expected = [(index, row) for index, row in enumerate(read_rows(written)) if row["split"] == split]
    dataset = load_ref_avs(written, split)
    assert dataset["id"][:] == [index for index, _ in expected]
    assert dataset["text"][:] == [row["exp"] for _, row in expected]
    for got, (_, row) in zip(dataset, expected, strict=True):
        clip, name, _ = row["uid"].rsplit("_", 2)
        assert (got["clip"], got["object"], got["vid"], got["fid"]) == (clip, name, row["vid"], int(row["fid"]))
        assert got["split"] == split and got["is_null"] == (name == "null")
        assert got["audio"] == {"path": str(written / "media" / clip / "audio.wav"), "bytes": None}
        assert [frame.size for frame in got["frames"]] == [SIZE[::-1]] * 12
        assert len(got["masks"]) == (0 if got["is_null"] else 12)


def test_files_are_ordered_by_number(written):
    row = load_ref_avs(written, "test_s")[0]
    folder = written / "media" / row["clip"] / "frames"
    for t, frame in enumerate(row["frames"]):
        assert np.array_equal(np.asarray(frame), np.asarray(Image.open(folder / f"{t}.jpg")))


def test_numbers_after_the_last_underscore_order_the_files(root):
    row = load_ref_avs(root, "test_s")[0]
    folder = root / "media" / row["clip"] / "frames"
    for path in list(folder.iterdir()):
        path.rename(folder / f"{row['clip']}.mp4_{path.name}")
    (folder / ".DS_Store").touch()
    renamed = load_ref_avs(root, "test_s")[0]
    for old, new in zip(row["frames"], renamed["frames"], strict=True):
        assert np.array_equal(np.asarray(old), np.asarray(new))


def test_text_is_kept_as_it_is_and_repeated_rows_stay(root):
    rows = [row for row in read_rows(root) if row["split"] == "test_s"][:1]
    texts = [' The first "cat", making a sound. ', "a dog’s tail", "NO.", "[Error] 错误: 'x'", "NO."]
    write_rows(root, [{**rows[0], "exp": text} for text in texts])
    dataset = load_ref_avs(root, "test_s")
    assert dataset["text"][:] == texts and dataset["id"][:] == [0, 1, 2, 3, 4]


def test_a_byte_order_mark_does_no_harm(root):
    before = load_ref_avs(root, "val")["uid"][:]
    write_rows(root, read_rows(root), encoding="utf-8-sig")
    assert load_ref_avs(root, "val")["uid"][:] == before


def test_null_rows_are_blank_with_and_without_files(root):
    shutil.rmtree(root / "gt_mask" / load_ref_avs(root, "test_n")[0]["clip"])
    for row in load_ref_avs(root, "test_n"):
        assert row["is_null"] and row["vid"] != row["clip"]
        masks = row_masks(row)
        assert masks.shape == (12, *SIZE) and masks.dtype == np.uint8 and not masks.any()


def test_novel_unseen_only_drops_what_train_names(root):
    table = read_rows(root)
    unseen = load_ref_avs(root, "test_u")
    novel = load_ref_avs(root, "test_u", novel_unseen_only=True)
    trained = {row["uid"].rsplit("_", 2)[1] for row in table if row["split"] == "train"}
    assert novel["object"][:] == [name for name in unseen["object"] if name not in trained]
    assert set(UNSEEN) & set(novel["object"]) and len(novel) < len(unseen)
    write_rows(root, [{**row, "split": "val"} if row["split"] == "train" else row for row in table])
    assert len(load_ref_avs(root, "test_u", novel_unseen_only=True)) == len(unseen)


@pytest.mark.slow
@pytest.mark.parametrize("file", golden_files("loader/real_counts.json"))
@pytest.mark.parity
def test_rules_give_the_counts_of_the_official_table(file, root):
    """A table with the official numbers of rows, all about one clip on disk, so that only the rules count."""
    counts = json.loads(file.read_text())["refavs"]
    unseen, novel = counts["unseen_categories"], counts["test_u_rows_unseen_category_only"]
    source = load_ref_avs(root, "test_s")[0]
    null_clip = load_ref_avs(root, "test_n")[0]["clip"]
    rows = []
    for split, number in counts["rows_per_split"].items():
        nulls = counts["null_rows_per_split"].get(split, 0)
        for index in range(number):
            name = unseen[index % len(unseen)] if split == "test_u" and index < novel else f"seen-{index % 38}"
            clip, name = (null_clip, "null") if index < nulls else (source["clip"], name)
            values = (source["vid"], f"{clip}_{name}_{index % 6 + 1}", split, source["fid"], f"sentence {index}")
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    write_rows(root, rows)
    assert len(rows) == counts["rows"]
    for split, number in counts["rows_per_split"].items():
        dataset = load_ref_avs(root, split)
        assert len(dataset) == number
        assert sum(dataset["is_null"]) == counts["null_rows_per_split"].get(split, 0)
    dataset = load_ref_avs(root, "test_u", novel_unseen_only=True)
    assert len(dataset) == novel and sorted(set(dataset["object"])) == unseen


def first_files(root):
    """Frames, masks and sound of the first row of test_s."""
    row = next(row for row in read_rows(root) if row["split"] == "test_s")
    media = root / "media" / row["vid"]
    return media / "frames", root / "gt_mask" / row["vid"] / f"fid_{row['fid']}", media / "audio.wav"


def cut(path, keep):
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])


DAMAGES = {
    "no frame folder": (lambda frames, masks, sound: shutil.rmtree(frames), "missing folder"),
    "no frames": (lambda frames, masks, sound: [path.unlink() for path in frames.iterdir()], "folder without images"),
    "a frame gone": (lambda frames, masks, sound: (frames / "3.jpg").unlink(), "missing image"),
    "last frame gone": (lambda frames, masks, sound: (frames / "11.jpg").unlink(), "frames and masks differ"),
    "empty frame": (lambda frames, masks, sound: (frames / "0.jpg").write_bytes(b""), "empty file"),
    "text as frame": (lambda frames, masks, sound: (frames / "0.jpg").write_text("not an image"), "damaged image"),
    "cut frame": (lambda frames, masks, sound: cut(frames / "5.jpg", 0.7), "truncated image"),
    "frame without number": (lambda frames, masks, sound: (frames / "0.jpg").rename(frames / "a.jpg"), "unnumbered"),
    "frame of another size": (
        lambda frames, masks, sound: Image.new("RGB", (9, 9)).save(frames / "0.jpg"),
        "different sizes",
    ),
    "no mask folder": (lambda frames, masks, sound: shutil.rmtree(masks), "missing folder"),
    "a mask gone": (lambda frames, masks, sound: (masks / "00002.png").unlink(), "missing image"),
    "mask that is JPEG": (
        lambda frames, masks, sound: Image.new("L", SIZE[::-1]).save(masks / "00002.png", "JPEG"),
        "mask in another format",
    ),
    "masks with height and width swapped": (
        lambda frames, masks, sound: [Image.new("L", SIZE).save(path) for path in masks.iterdir()],
        "masks of another shape than the frames",
    ),
    "frame twice": (lambda frames, masks, sound: shutil.copy(frames / "3.jpg", frames / "00003.jpg"), "two images"),
    "cut mask": (lambda frames, masks, sound: cut(masks / "00002.png", 0.6), "damaged image"),
    "no sound": (lambda frames, masks, sound: sound.unlink(), "missing file"),
    "empty sound": (lambda frames, masks, sound: sound.write_bytes(b""), "empty file"),
    "text as sound": (lambda frames, masks, sound: sound.write_text("not a sound file"), "damaged sound"),
    "cut sound": (lambda frames, masks, sound: cut(sound, 0.5), "truncated sound"),
    "header of a sound": (lambda frames, masks, sound: cut(sound, 0.00005), "damaged sound"),
}


def halve(path):
    with wave.open(str(path)) as file:
        setting, sound = file.getparams(), file.readframes(file.getnframes() // 2)
    with wave.open(str(path), "wb") as file:
        file.setparams(setting)
        file.writeframes(sound)


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_found_and_named_or_skipped(root, damage, reason):
    before = load_ref_avs(root, "test_s").select_columns(["id", "clip"])
    clip = before[0]["clip"]
    damage(*first_files(root))
    with pytest.raises(DataError, match=reason) as caught:
        load_ref_avs(root, "test_s")
    assert clip in str(caught.value) and str(root) in str(caught.value)
    with pytest.warns(UserWarning, match=rf"left out \d+ of {len(before)} rows \(\d+ .*{reason}"):
        rest = load_ref_avs(root, "test_s", on_error="skip")
    whole = [row["id"] for row in before if row["clip"] != clip]
    assert set(whole) <= set(rest["id"]) < set(before["id"])
    for row in rest:
        row_masks(row)


def test_a_clip_whose_sound_ends_early_is_used_and_said_once(root, tiny_processor):
    clip = load_ref_avs(root, "test_s")[0]["clip"]
    *_, sound = first_files(root)
    halve(sound)
    with pytest.warns(DataWarning, match=rf"1 clips are used .* First: clip {clip}: sound shorter") as caught:
        rows = load_ref_avs(root, "test_s")
    assert len(caught) == 1 and rows[0]["clip"] == clip
    whole = read_audio(sound)[0]
    seconds = len(rows[0]["frames"])
    filled = np.pad(whole, ((0, 0), (0, seconds * 16000 - whole.shape[1])))
    found = ClipCollator(tiny_processor)([rows[0]])["input_features"]
    expected = tiny_processor(rows[0]["frames"], filled, rows[0]["text"], 16000)["input_features"]
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="audio: lasts"):
        tiny_processor(rows[0]["frames"], whole, rows[0]["text"], 16000)


@pytest.mark.parametrize("text", ["", "  ", "\u3000"])
def test_a_row_without_a_sentence_is_named(root, text):
    rows = read_rows(root)
    number = next(index for index, row in enumerate(rows) if row["split"] == "val")
    rows[number]["exp"] = text
    write_rows(root, rows)
    with pytest.raises(DataError, match=rf"empty sentence: .*metadata\.csv\. Row {number} has to say") as caught:
        load_ref_avs(root, "val")
    assert rows[number]["uid"].rsplit("_", 2)[0] in str(caught.value)


def test_the_cases_that_went_wrong(cases):
    assert len(load_ref_avs(cases / "apple-double" / "data", "train")) == 1
    with pytest.raises(ValueError, match=r"csv-unquoted-comma.*metadata\.csv, row 0: got 6 fields in line 2"):
        load_ref_avs(cases / "csv-unquoted-comma" / "data", "train")
    with pytest.raises(DataError, match=r"^clip -pZX7_9BIUB_194000_204000: empty sentence: .* Row 0 "):
        load_ref_avs(cases / "empty-sentence" / "data", "train")


def test_nothing_is_said_about_whole_data(written):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_ref_avs(written, "train", on_error="skip")


def test_skipping_everything_is_an_error(root):
    shutil.rmtree(root / "media")
    with pytest.raises(ValueError, match=r"all \d+ rows are unreadable"):
        load_ref_avs(root, "val", on_error="skip")


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([], COLUMNS, "has no rows"),
        ([{}], COLUMNS[:3], "columns fid, exp are missing"),
        ([{"uid": "a_1_2_cat_1", "vid": "a_1_2", "split": "val", "fid": "x", "exp": "e"}], COLUMNS, "row 0: .*fid"),
        (
            [{"uid": "a_1_2_cat_1", "vid": "a_1_2", "split": "val", "fid": "9" * 20, "exp": "e"}],
            COLUMNS,
            "row 0: .*fid",
        ),
        ([{"uid": "../a_cat_1", "vid": "a_1_2", "split": "val", "fid": "0", "exp": "e"}], COLUMNS, "row 0: uid is"),
        ([{"uid": ".._cat_1", "vid": "a_1_2", "split": "val", "fid": "0", "exp": "e"}], COLUMNS, "row 0: clip in uid"),
        ([{"uid": "a_1_2_cat_1", "vid": "a_1_2", "split": "Train", "fid": "0", "exp": "e"}], COLUMNS, "'Train', .*'tr"),
        ([{"uid": "cat_1", "vid": "a_1_2", "split": "val", "fid": "0", "exp": "e"}], COLUMNS, "row 0: .*uid"),
        ([{"uid": "a_1_2_cat_1", "vid": "a_1_2", "split": "val", "fid": "0", "exp": "e"}], COLUMNS, "no such row"),
    ],
)
def test_bad_tables(tmp_path, rows, columns, message):
    write_rows(tmp_path, rows, columns)
    with pytest.raises(ValueError, match=message):
        load_ref_avs(tmp_path, "train")


def test_a_short_line_of_the_table_is_named(tmp_path):
    (tmp_path / "metadata.csv").write_bytes(b"vid,uid,split,fid,exp\r\na_1_2,a_1_2_cat_1,val\r\n")
    with pytest.raises(ValueError, match="row 0"):
        load_ref_avs(tmp_path, "val")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "test"}, r"split: got 'test', expected one of train, val, test_s, test_u, test_n"),
        ({"split": "val", "novel_unseen_only": True}, "novel_unseen_only"),
        ({"split": "val", "on_error": "ignore"}, "on_error: got 'ignore'"),
        ({"split": "val", "root": "nowhere"}, r"metadata\.csv does not exist"),
    ],
)
def test_bad_arguments_are_named(written, options, message):
    with pytest.raises(ValueError, match=message):
        load_ref_avs(**{"root": written, **options})


@pytest.mark.parametrize("file", golden_files("loader/golden_loader.json"))
@pytest.mark.parity
def test_rows_and_masks_agree_with_the_official_reader(file):
    arrays = np.load(file.with_suffix(".npz"))
    cases = {
        name.removeprefix("refavs/"): rows
        for name, rows in json.loads(file.read_text()).items()
        if name.startswith("refavs/")
    }
    assert cases
    for split, rows in cases.items():
        dataset = load_ref_avs(file.parent / "synth" / "REFAVS", split)
        for index, (row, expected) in enumerate(zip(dataset, rows, strict=True)):
            assert (row["clip"], row["text"]) == (expected["vid"], expected["exp"])
            assert row["audio"]["path"].endswith(expected["wav"])
            assert row["frames"][0].size[::-1] == tuple(expected["image_size_hw"])
            masks = row_masks(row, (256, 256), "bilinear_gt0")
            assert np.array_equal(masks, arrays[f"refavs_{split}_{index}_masks"])
            assert masks.sum() == expected["masks"]["sum"]
            assert np.flatnonzero(~row_masks(row).any((1, 2))).tolist() == expected["empty_frames"]
