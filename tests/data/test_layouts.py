"""Data sets by the name of their layout; `lavseg data`, in tests/cli/test_data.py, reports on and exports them."""

import pyarrow.parquet
import pytest
from datasets import Dataset, concatenate_datasets

from lavseg.data import layouts, write_avsbench, write_ref_avs
from lavseg.data.layouts import (
    check_data_set,
    check_sizes,
    class_names,
    frame_sizes,
    known_layout,
    layout_of,
    listed_splits,
    load_rows,
    splits_of,
)


@pytest.fixture(scope="module")
def ref_avs(tmp_path_factory):
    return write_ref_avs(tmp_path_factory.mktemp("ref_avs"), {"train": 1}, 2, (32, 40))


@pytest.fixture(scope="module")
def avsbench(tmp_path_factory):
    return write_avsbench(tmp_path_factory.mktemp("avsbench"), {"s4": {"train": 1}, "v1m": {"train": 1}}, (32, 40))


def test_names_with_hyphens_and_underscores_are_one():
    assert known_layout("ref-avs") == known_layout("ref_avs") == "ref_avs"
    with pytest.raises(ValueError, match="dataset: got 'coco', expected one of ref_avs, avsbench"):
        known_layout("coco")


def test_classes_have_names_where_the_masks_say_them():
    assert class_names("avsbench", ["v1s", "v2"])[:2] == ("background", "accordion")
    assert class_names("avsbench", ["s4", "v2"]) == class_names("ref-avs") == ()


def test_the_layout_is_found_by_the_tables(ref_avs, avsbench, tmp_path):
    assert (layout_of(ref_avs), layout_of(avsbench)) == ("ref_avs", "avsbench")
    with pytest.raises(ValueError, match=r"root: .* is neither Ref-AVS .* nor AVSBench"):
        layout_of(tmp_path)
    with pytest.raises(ValueError, match="root: there is no folder"):
        layout_of(tmp_path / "absent")


def test_splits_are_listed_and_chosen(ref_avs, avsbench):
    assert [split for _, split, _ in listed_splits(ref_avs)] == ["train", "TODO"]
    assert listed_splits(avsbench) == [("s4", "train", 1), ("v1m", "train", 1)]
    assert splits_of(avsbench, subset="v1m") == (["train"], "avsbench")
    assert splits_of(ref_avs, wanted=["train"]) == (["train"], "ref_avs")
    with pytest.raises(ValueError, match=r"split: .* lists no val, only train"):
        splits_of(avsbench, subset="s4", wanted=["val"])


def test_subsets_are_joined_where_there_are_some(ref_avs, avsbench):
    assert len(load_rows(avsbench, "train", "avsbench", ["s4", "v1m"])) == 2
    with pytest.raises(ValueError, match="subset: missing; AVSBench consists of s4"):
        load_rows(avsbench, "train", "avsbench")
    with pytest.raises(ValueError, match="subset: Ref-AVS has none, got s4"):
        load_rows(ref_avs, "train", "ref_avs", ["s4"])


def test_an_export_that_fails_leaves_nothing(ref_avs, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("the disk is full")

    rows = {"train": load_rows(ref_avs, "train")}
    monkeypatch.setattr("datasets.Dataset.to_parquet", fail)
    with pytest.raises(OSError, match="the disk is full"):
        layouts.export_parquet(rows, tmp_path / "new" / "out")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "notes").touch()
    with pytest.raises(ValueError, match=r"^out: .* is not empty; give a new or an empty folder"):
        layouts.export_parquet(rows, tmp_path)


def test_sizes_of_frames_are_counted(ref_avs, tmp_path):
    rows = load_rows(ref_avs, "train")
    assert frame_sizes(rows) == [(32, 40)]
    other = load_rows(write_ref_avs(tmp_path / "other", {"train": 1}, 2, (28, 36), seed=1), "train")
    both = concatenate_datasets([rows, other])
    assert frame_sizes(both) == [(28, 36), (32, 40)]
    check_sizes({"train": rows}, 8)
    check_sizes({"train": both}, 1)
    with pytest.raises(
        ValueError, match=r"^label_size: the frames of val have 2 sizes, such as \(28, 36\) and \(32, 40\)"
    ):
        check_sizes({"train": rows, "val": both}, 2)
    inside = layouts.export_parquet({"train": rows}, tmp_path / "parquet")
    assert frame_sizes(Dataset(pyarrow.parquet.read_table(next(inside.rglob("*.parquet"))))) == [(32, 40)]


def test_the_cases_are_reported_as_they_are(cases):
    for name, readable, fault in (
        ("apple-double", 1, None),
        ("mask-index-no-palette", 1, None),
        ("empty-sentence", 0, 1),
    ):
        for deep in (False, True):
            (report,) = check_data_set(cases / name / "data", deep=deep)
            assert report.readable == readable and (report.fault is None) == (fault is None), name
    assert "empty sentence" in report.fault
    with pytest.raises(ValueError, match="row 0: got 6 fields in line 2"):
        list(check_data_set(cases / "csv-unquoted-comma" / "data"))
