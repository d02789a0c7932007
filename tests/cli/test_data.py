import json
from zlib import crc32

import datasets
import numpy as np
import pytest
import torch
from huggingface_hub.utils import httpx
from PIL import Image
from tiny.configurations import tiny_config
from typer.testing import CliRunner

from cut_out_folders import sine, tone, write_cut_outs
from lavseg.cli import app
from lavseg.data import ClipCollator, load_avsbench, load_ref_avs, row_masks, write_avsbench, write_ref_avs
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsProcessor


def data(*arguments):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def refused(result, command, *words):
    assert result.exit_code == 2 and result.stdout == "", result.output
    assert result.stderr.startswith(f"lavseg data {command}: ") and len(result.stderr.splitlines()) == 1
    assert all(word in result.stderr for word in words), result.stderr


@pytest.fixture
def ref_avs(tmp_path):
    return write_ref_avs(tmp_path / "ref_avs", {"train": 2, "test_s": 1, "test_n": 1}, 3, (32, 40))


@pytest.fixture
def avsbench(tmp_path):
    counts = {"train": 1, "test": 1}
    return write_avsbench(tmp_path / "avsbench", {"s4": counts, "v2": counts}, (32, 40))


def test_check_counts_ref_avs(ref_avs):
    result = data("check", ref_avs, "--json")
    assert result.exit_code == 0, result.output
    found = {report["split"]: report for report in json.loads(result.stdout)}
    assert set(found) == {"train", "test_s", "test_n", "TODO"}
    for split, report in found.items():
        rows = load_ref_avs(ref_avs, split)
        assert report["rows"] == report["readable"] == len(rows) and report["fault"] is None
        assert report["clips"] == len(set(rows["clip"])) and report["nulls"] == sum(rows["is_null"])


def test_check_counts_avsbench(avsbench):
    result = data("check", avsbench, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [(report["subset"], report["split"]) for report in found] == [
        (subset, split) for subset in ("s4", "v2") for split in ("train", "test")
    ]
    for report in found:
        assert (report["rows"], report["readable"], report["clips"], report["nulls"]) == (1, 1, 1, 0)


def test_check_names_faults(ref_avs):
    row = load_ref_avs(ref_avs, "train")[0]
    (ref_avs / "media" / row["clip"] / "audio.wav").write_bytes(b"")
    broken = load_ref_avs(ref_avs, "test_s")["clip"]
    for clip in set(broken):
        (ref_avs / "media" / clip / "frames" / "1.jpg").unlink()
    result = data("check", ref_avs, "--json")
    assert result.exit_code == 1
    found = {report["split"]: report for report in json.loads(result.stdout)}
    assert found["train"]["readable"] < found["train"]["rows"]
    assert "empty file" in found["train"]["fault"] and row["clip"] in found["train"]["fault"]
    assert found["test_s"]["readable"] == 0 and "missing image" in found["test_s"]["fault"]
    assert found["test_n"]["fault"] is None
    assert "empty file" in data("check", ref_avs).stdout


def test_check_decodes_everything_where_asked(ref_avs):
    row = load_ref_avs(ref_avs, "train")[0]
    path = ref_avs / "gt_mask" / row["clip"] / f"fid_{row['fid']}" / "00001.png"
    content = bytearray(path.read_bytes())
    begin = content.index(b"IDAT")
    length = int.from_bytes(content[begin - 4 : begin], "big")
    pixels = b"IDAT" + bytes(length)
    content[begin : begin + 8 + length] = pixels + crc32(pixels).to_bytes(4, "big")
    path.write_bytes(content)
    assert data("check", ref_avs).exit_code == 0
    result = data("check", ref_avs, "--deep", "--json")
    assert result.exit_code == 1, result.output
    found = {report["split"]: report for report in json.loads(result.stdout)}
    assert found["train"]["readable"] < found["train"]["rows"] and found["train"]["sizes"] == 1
    assert "image that cannot be decoded" in found["train"]["fault"] and str(path) in found["train"]["fault"]
    assert all(report["fault"] is None for split, report in found.items() if split not in ("train", "TODO"))


@pytest.mark.parametrize("content", [None, "name,size\na,1\n"])
def test_check_of_something_else(tmp_path, content):
    if content is not None:
        (tmp_path / "metadata.csv").write_text(content)
    refused(data("check", tmp_path if content else tmp_path / "absent"), "check", str(tmp_path))
    refused(data("check", tmp_path, "--dataset", "coco"), "check", "'coco'", "ref_avs, avsbench")


@pytest.mark.parametrize("layout", ["ref-avs", "avsbench"])
def test_synthetic_data_sets_are_whole(tmp_path, layout):
    out = tmp_path / "written"
    result = data("synthetic", "--dataset", layout, "--out", out, "--clips", 1, "--json")
    assert result.exit_code == 0 and json.loads(result.stdout) == {"out": str(out)}
    found = json.loads(data("check", out, "--json").stdout)
    splits = {(report["subset"], report["split"]) for report in found}
    if layout == "ref-avs":
        assert splits == {(None, split) for split in ("train", "val", "test_s", "test_u", "test_n", "TODO")}
    else:
        subsets = ("s4", "ms3", "v1s", "v1m", "v2")
        assert splits == {(subset, split) for subset in subsets for split in ("train", "val", "test")}
    refused(data("synthetic", "--dataset", layout, "--out", out), "synthetic", str(out))


def test_synthetic_of_an_unknown_layout(tmp_path):
    refused(data("synthetic", "--dataset", "coco", "--out", tmp_path / "written"), "synthetic", "'coco'")


def test_a_data_set_is_composed_of_cut_outs(tmp_path):
    objects = write_cut_outs(tmp_path / "objects", ("hum", "pip", "rub", "snare_drum"), 1, 1)
    photographs, out = tmp_path / "photographs", tmp_path / "composed"
    photographs.mkdir()
    Image.new("RGB", (90, 60), (90, 140, 190)).save(photographs / "sky.jpg")
    result = data("synthetic", "--out", out, "--objects", objects, "--backgrounds", photographs, "--clips", 1)
    assert result.exit_code == 0, result.output
    checked = data("check", out)
    assert checked.exit_code == 0, checked.output
    rows = [row for split in ("train", "test_s", "test_u", "test_n") for row in load_ref_avs(out, split)]
    texts = " ".join(row["text"] for row in rows)
    assert "snare drum" in texts and "_" not in texts and "guitar" not in texts
    assert any(row_masks(row).any() for row in rows)
    frame = np.asarray(rows[0]["frames"][0]).reshape(-1, 3)
    assert np.median(frame, axis=0) == pytest.approx((90, 140, 190), abs=6)


def test_cut_outs_that_are_refused(tmp_path):
    objects, out = write_cut_outs(tmp_path / "objects", ("bus", "cat", "guitar", "kazoo"), 1, 1), tmp_path / "composed"
    (objects / "cat" / "0.wav").unlink()
    refused(data("synthetic", "--out", out, "--objects", objects), "synthetic", "0.png has no sound", "0.wav or 0.ogg")
    refused(
        data("synthetic", "--out", out, "--backgrounds", objects), "synthetic", "--backgrounds: goes with --objects"
    )
    tone(objects / "cat" / "0.wav", sine(1))
    result = data("synthetic", "--out", out, "--objects", objects, "--dataset", "avsbench")
    refused(result, "synthetic", "kazoo", "no class")
    assert not out.exists()


def batches_equal(found, expected):
    collate = ClipCollator(SamaAvsProcessor.from_config(tiny_config(SamaAvsConfig)))
    for row, original in zip(found, expected, strict=True):
        pair = [collate([one]) for one in (row, original)]
        assert all(
            torch.equal(value, pair[1][name]) for name, value in pair[0].items() if isinstance(value, torch.Tensor)
        )


def test_an_exported_data_set_needs_no_other_files(ref_avs, tmp_path, datasets_cache):
    splits = ("train", "test_s", "test_n")
    expected = {split: list(load_ref_avs(ref_avs, split)) for split in splits}
    result = data("export", ref_avs, "--out", tmp_path / "parquet", *(f"--split={split}" for split in splits))
    assert result.exit_code == 0, result.output
    assert f"{len(expected['train'])} rows of train" in result.stdout
    ref_avs.rename(tmp_path / "away")
    found = datasets.load_dataset(str(tmp_path / "parquet"))
    assert set(found) == set(splits)
    for split in splits:
        assert [row["text"] for row in found[split]] == [row["text"] for row in expected[split]]
    (tmp_path / "away").rename(ref_avs)
    batches_equal(found["test_s"], expected["test_s"])


def test_what_was_exported_is_checked_as_the_original(ref_avs, tmp_path):
    assert data("export", ref_avs, "--out", tmp_path / "parquet").exit_code == 0
    found = {report["split"]: report for report in json.loads(data("check", tmp_path / "parquet", "--json").stdout)}
    expected = {report["split"]: report for report in json.loads(data("check", ref_avs, "--json").stdout)}
    assert expected.pop("TODO")["rows"] and found == expected
    refused(data("check", tmp_path / "parquet", "--dataset", "avsbench"), "check", "'avsbench'", "holds ref_avs")


def test_a_subset_of_avsbench_is_exported_in_files_of_a_few_rows(avsbench, tmp_path, monkeypatch, datasets_cache):
    monkeypatch.setattr("lavseg.data.layouts._ROWS_PER_FILE", 1)
    result = data("export", avsbench, "--out", tmp_path / "parquet", "--subset", "s4", "--json")
    assert result.exit_code == 0 and json.loads(result.stdout)["rows"] == {"train": 1, "test": 1}
    found = datasets.load_dataset(str(tmp_path / "parquet"), split="test")
    batches_equal(found, list(load_avsbench(avsbench, "s4", "test")))
    assert np.asarray(found[0]["frames"][0]).shape == (224, 224, 3)


def test_export_to_the_hub(avsbench, monkeypatch):
    pushed = []

    def push(rows, repo, config_name, split, private):
        pushed.append((repo, config_name, split, private, len(rows), rows.features["audio"]))

    monkeypatch.setattr("datasets.Dataset.push_to_hub", push)
    result = data("export", avsbench, "--repo", "org/shapes", "--subset", "v2", "--private")
    assert result.exit_code == 0, result.output
    sound = datasets.Audio(decode=False)
    assert pushed == [("org/shapes", "v2", split, True, 1, sound) for split in ("train", "test")]


def test_a_hub_that_cannot_be_reached_is_named(avsbench, monkeypatch):
    def push(*args, **kwargs):
        raise httpx.ConnectError("no route to host")

    monkeypatch.setattr("datasets.Dataset.push_to_hub", push)
    result = data("export", avsbench, "--repo", "org/shapes", "--subset", "v2")
    refused(result, "export", "org/shapes: the Hub cannot be reached (no route to host)")


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], ["--out, --repo"]),
        (["--out", "O", "--repo", "org/name"], ["--out, --repo"]),
        (["--out", "O"], ["subset", "s4, v2"]),
        (["--out", "O", "--subset", "ms3"], ["subset", "ms3", "s4, v2"]),
        (["--out", "O", "--subset", "s4", "--split", "val"], ["split", "val", "train, test"]),
    ],
)
def test_exports_that_are_refused(avsbench, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    refused(data("export", avsbench, *arguments), "export", *words)
    assert [path.name for path in tmp_path.iterdir()] == ["avsbench"]
