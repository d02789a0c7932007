import re
import shutil
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
from huggingface_hub.utils import httpx

from hub_stand_in import empty_cache
from lavseg.data import (
    load_avsbench,
    load_exported,
    load_ref_avs,
    row_classes,
    row_masks,
    write_avsbench,
    write_ref_avs,
)
from lavseg.data.exported import exported_splits
from lavseg.data.layouts import export_parquet, layout_of, listed_splits, load_rows
from lavseg.media import read_audio

pytestmark = pytest.mark.usefixtures("datasets_cache")


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """Of a small data set of each layout the rows that its reader gives, by subset and split."""
    folder = tmp_path_factory.mktemp("trees")
    ref_avs = write_ref_avs(folder / "ref_avs", {"train": 2, "test_n": 1}, 3, (32, 40))
    counts = {"train": 3, "test": 1}
    avsbench = write_avsbench(folder / "avsbench", {"s4": counts, "v2": counts}, (32, 40))
    rows = {(None, split): load_ref_avs(ref_avs, split) for split in ("train", "test_n")}
    return rows | {(name, split): load_avsbench(avsbench, name, split) for name in ("s4", "v2") for split in counts}


@pytest.fixture(scope="module")
def exported(trees, tmp_path_factory):
    """These exported, two rows a file: Ref-AVS, and AVSBench with a folder for each subset, as on the Hub."""
    folder = tmp_path_factory.mktemp("exported") / "an [ö] * folder"
    (folder / "avsbench").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lavseg.data.layouts._ROWS_PER_FILE", 2)
        for name, out in ((None, "ref_avs"), ("s4", "s4"), ("v2", "v2")):
            export_parquet({split: rows for (subset, split), rows in trees.items() if subset == name}, folder / out)
    for name in ("s4", "v2"):
        (folder / name / "data").rename(folder / "avsbench" / name)
    return folder


def assert_same(found, expected):
    """Row by row what training and evaluation read: pixels, samples, masks, classes and all else."""
    count = 0
    for row, original in zip(found, expected, strict=True):
        files = {"frames", "masks", "audio"}
        assert {name: value for name, value in row.items() if name not in files} == {
            name: value for name, value in original.items() if name not in files
        }
        for column in ("frames", "masks"):
            pairs = list(zip(row[column], original[column], strict=True))
            assert all(
                np.array_equal(*map(np.asarray, pair)) and len({one.format for one in pair}) == 1 for pair in pairs
            )
        sound, rate = read_audio(row["audio"]["bytes"])
        true_sound, true_rate = read_audio(original["audio"]["path"])
        assert rate == true_rate and np.array_equal(sound, true_sound)
        assert np.array_equal(row_masks(row), row_masks(original))
        if original.get("has_classes"):
            assert np.array_equal(row_classes(row), row_classes(original))
        count += 1
    assert count == len(expected)


@pytest.mark.parametrize("streaming", [False, True])
def test_rows_are_those_of_the_original(trees, exported, streaming):
    for (subset, split), expected in trees.items():
        folder, subsets = (exported / "avsbench", [subset]) if subset else (exported / "ref_avs", [])
        found = load_exported(folder, split, subsets, streaming)
        assert isinstance(found, datasets.IterableDataset if streaming else datasets.Dataset)
        assert found.features == expected.features
        assert_same(found, expected)
    joined = load_rows(exported / "avsbench", "train", "avsbench", ["v2", "s4"], streaming=streaming)
    assert_same(joined, datasets.concatenate_datasets([trees["v2", "train"], trees["s4", "train"]]))


@pytest.mark.parametrize("streaming", [False, True])
def test_rows_come_from_the_hub(trees, exported, hub, monkeypatch, tmp_path, streaming):
    empty_cache(monkeypatch, tmp_path)
    hub.publish("datasets/org/refs", exported / "ref_avs")
    hub.publish("datasets/org/sounds", exported / "avsbench")
    assert_same(load_exported("org/refs", "train", streaming=streaming), trees[None, "train"])
    assert_same(load_rows("org/sounds", "train", "avsbench", ["s4"], streaming=streaming), trees["s4", "train"])
    assert listed_splits("org/sounds") == [("s4", "test", 1), ("s4", "train", 3), ("v2", "test", 1), ("v2", "train", 3)]


def test_layout_subset_and_rows_are_read_from_the_files(trees, exported):
    assert (layout_of(exported / "ref_avs"), layout_of(exported / "avsbench")) == ("ref_avs", "avsbench")
    counts = {(subset, split): len(rows) for (subset, split), rows in trees.items()}
    for name in ("ref_avs", "avsbench"):
        parts = exported_splits(exported / name)
        assert all(len(part.files) == -(-part.count_rows() // 2) for part in parts)
        found = {(part.subset, part.split): part.count_rows() for part in parts}
        assert found == {key: count for key, count in counts.items() if bool(key[0]) == (name == "avsbench")}
    assert exported_splits(exported) == []


@pytest.mark.parametrize(
    "folder, arguments, message",
    [
        ("ref_avs", {"split": "val"}, r"^split: .*ref_avs lists no val, only test_n, train$"),
        ("ref_avs", {"dataset": "avsbench", "subsets": ["s4"]}, "^dataset: got 'avsbench', .*ref_avs holds ref_avs$"),
        ("avsbench", {}, "^dataset: got 'ref_avs', .*avsbench holds avsbench$"),
        ("avsbench", {"dataset": "avsbench", "subsets": ["ms3"]}, "^subset: got ms3, .*avsbench has s4, v2$"),
        ("avsbench", {"dataset": "avsbench"}, "^subset: missing; AVSBench consists of s4"),
        (
            "absent",
            {},
            r"^root: there is no folder .*absent; give one, or the Hub id ORG/NAME of an exported",
        ),
        ("", {"streaming": True}, "^streaming: is for what `lavseg data export` wrote, and .* holds none of that$"),
    ],
)
def test_what_is_not_there_is_named(exported, folder, arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_rows(**{"root": exported / folder, "split": "train", **arguments})
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are counted in characters")
def test_a_cache_whose_path_is_too_long_is_named(exported, datasets_cache, monkeypatch):
    cache = Path(datasets_cache) / ("ö" * 120)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", cache)
    with pytest.raises(ValueError, match=f"^HF_DATASETS_CACHE: the path {re.escape(str(cache))} is too long") as caught:
        load_exported(exported / "ref_avs", "train")
    assert "shorter path" in str(caught.value) and "\n" not in str(caught.value)


def test_what_the_hub_does_not_have_is_named(hub):
    with pytest.raises(
        ValueError, match=r"^root: there is no folder org/none, and no such data set .* \(404"
    ) as caught:
        load_rows("org/none", "train")
    assert "\n" not in str(caught.value)


def test_a_hub_that_cannot_be_reached_is_named(monkeypatch):
    def ask(*args, **kwargs):
        raise httpx.ConnectError("no route to host")

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", ask)
    with pytest.raises(ValueError, match=r"^root: there is no folder org/none, .* from the Hub \(no route to host\)$"):
        load_rows("org/none", "train")


def test_files_of_others_and_damaged_ones_are_named(exported, tmp_path):
    other = tmp_path / "other" / "data" / "train-00000-of-00001.parquet"
    other.parent.mkdir(parents=True)
    datasets.Dataset.from_dict({"id": [0]}).to_parquet(other)
    with pytest.raises(ValueError, match=r"^root: .*parquet was not written by .*, it lacks the columns audio, clip,"):
        load_exported(tmp_path / "other", "train")
    content = next((exported / "ref_avs" / "data").glob("train-00001-*")).read_bytes()
    for kept in (0, 1000):
        other.write_bytes(content[:kept])
        with pytest.raises(ValueError, match=r"^root: .*parquet cannot be read as Parquet \(.+\); copy") as caught:
            load_exported(tmp_path / "other", "train")
        assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_is_noticed(exported, tmp_path):
    shutil.copytree(exported / "ref_avs", tmp_path / "copy")
    next((tmp_path / "copy" / "data").glob("train-00001-*")).unlink()
    with pytest.raises(ValueError, match=r"^root: .*copy/data holds (\d) of (\d) files of train; copy or") as caught:
        exported_splits(tmp_path / "copy")
    held, whole = map(int, re.search(r"holds (\d) of (\d)", str(caught.value)).groups())
    assert held == whole - 1
