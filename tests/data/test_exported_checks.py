import wave
from copy import deepcopy
from io import BytesIO

import pytest
from datasets import Dataset
from PIL import Image
from test_decoding import without_pixels

from lavseg.data import load_avsbench, load_ref_avs, write_avsbench, write_ref_avs
from lavseg.data.exported import ExportedSplit
from lavseg.data.exported_checks import look_through
from lavseg.data.layouts import check_data_set, export_parquet, splits_of, with_audio_type

REF_AVS, SOUNDS = ("ref_avs", None, "train"), ("avsbench", "v1m", "train")


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("roots")
    refs = write_ref_avs(folder / "refs", {"train": 2, "test_n": 1}, 3, (32, 40))
    return {"refs": refs, "sounds": write_avsbench(folder / "sounds", {"v1m": {"train": 2}}, (28, 36))}


@pytest.fixture(scope="module")
def rows(roots):
    """By kind of split its rows with the contents of their files."""
    found = {REF_AVS: load_ref_avs(roots["refs"], "train"), SOUNDS: load_avsbench(roots["sounds"], "v1m", "train")}
    return {kind: [filled(row) for row in part.with_format("arrow").to_list()] for kind, part in found.items()}


def filled(row):
    """A row with the contents of its files."""
    for file in (*row["frames"], *row["masks"], row["audio"]):
        with open(file["path"], "rb") as opened:
            file["bytes"] = opened.read()
    return row


def looked(rows, kind, folder, deep=False):
    """What is said of rows in a file of one's own."""
    path = folder / "rows.parquet"
    Dataset.from_list(rows).to_parquet(path)
    return look_through(ExportedSplit(*kind, (str(path),)), deep)


@pytest.mark.parametrize("deep", [False, True])
def test_whole_ones_are_reported_as_the_original(roots, tmp_path, deep):
    for name, subset in (("refs", None), ("sounds", "v1m")):
        names, layout = splits_of(roots[name], subset=subset)
        expected = {report.split: report for report in check_data_set(roots[name]) if report.split in names}
        load = load_ref_avs if subset is None else lambda root, split: load_avsbench(root, "v1m", split)
        export_parquet({split: load(roots[name], split) for split in names}, tmp_path / name)
        found = {report.split: report for report in check_data_set(tmp_path / name, layout, deep)}
        assert found == expected and all(report.fault is None and report.rows for report in found.values())


FAULTS = {
    "truncated image": (REF_AVS, lambda row: cut(row["frames"][1], -30)),
    "damaged image": (REF_AVS, lambda row: cut(row["masks"][2], 40)),
    "mask in another format": (REF_AVS, lambda row: row["masks"][0].update(bytes=row["frames"][0]["bytes"])),
    "empty file": (REF_AVS, lambda row: cut(row["audio"], 0)),
    "truncated sound": (REF_AVS, lambda row: cut(row["audio"], 5000)),
    "missing file": (SOUNDS, lambda row: row["frames"][0].update(bytes=None)),
    "empty sentence": (REF_AVS, lambda row: row.update(text=" ")),
    "row without frames": (SOUNDS, lambda row: row.update(frames=[])),
    "row without masks": (SOUNDS, lambda row: row.update(masks=[])),
    "frames and masks differ": (SOUNDS, lambda row: row["frames"].pop()),
    "null row with masks": (SOUNDS, lambda row: row.update(is_null=True)),
    "row of another split": (SOUNDS, lambda row: row.update(subset="v2")),
}


def cut(file, length):
    file["bytes"] = file["bytes"][:length]


def one_second(sound):
    """The first second of a WAV file."""
    content = BytesIO()
    with wave.open(BytesIO(sound)) as found, wave.open(content, "wb") as written:
        written.setparams(found.getparams())
        written.writeframes(found.readframes(found.getframerate()))
    return content.getvalue()


@pytest.mark.parametrize("reason", FAULTS)
def test_what_is_wrong_in_a_row_is_named(rows, tmp_path, reason):
    kind, spoil = FAULTS[reason]
    changed = deepcopy(rows[kind])
    spoil(changed[1])
    found = looked(changed, kind, tmp_path)
    assert (found.rows, found.readable) == (len(changed), len(changed) - 1)
    assert found.fault.startswith(f"train: 1 of {len(changed)} rows (1 {reason}). First: clip {changed[1]['clip']}: ")
    assert f"row {changed[1]['id']} of train" in found.fault


def test_masks_of_another_shape_and_short_sounds_are_said(rows, tmp_path):
    changed = deepcopy(rows[SOUNDS])
    Image.new("L", (20, 60)).save(tmp_path / "mask.png")
    for mask in changed[0]["masks"]:
        mask["bytes"] = (tmp_path / "mask.png").read_bytes()
    assert "masks of another shape than the frames" in looked(changed, SOUNDS, tmp_path).fault
    short = deepcopy(rows[REF_AVS])
    second = one_second(short[0]["audio"]["bytes"])
    for row in (row for row in short if row["clip"] == short[0]["clip"]):
        row["audio"]["bytes"] = second
    found = looked(short, REF_AVS, tmp_path)
    assert found.readable == found.rows and "1 clips are used as they are (1 sound shorter than" in found.fault


def test_pixels_are_looked_at_where_asked(rows, tmp_path):
    changed = deepcopy(rows[REF_AVS])
    Image.new("L", (40, 32)).save(tmp_path / "mask.png")
    without_pixels(tmp_path / "mask.png")
    changed[0]["masks"] = [{"path": "0.png", "bytes": (tmp_path / "mask.png").read_bytes()}]
    assert looked(changed, REF_AVS, tmp_path).fault is None
    found = looked(changed, REF_AVS, tmp_path, deep=True)
    assert found.readable == found.rows - 1 and "image that cannot be decoded" in found.fault


def test_what_cannot_be_read_on_the_way_is_said(rows, tmp_path):
    path = tmp_path / "rows.parquet"
    with_audio_type(Dataset.from_list(rows[REF_AVS])).to_parquet(path)
    content = bytearray(path.read_bytes())
    content[100:2000] = bytes(1900)
    path.write_bytes(content)
    found = look_through(ExportedSplit(*REF_AVS, (str(path),)), False)
    assert "train: the rest cannot be read as Parquet (" in found.fault
