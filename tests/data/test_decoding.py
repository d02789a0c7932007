import shutil
from itertools import islice
from zlib import compress

import datasets
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from torch.utils.data import DataLoader

from lavseg.data import load_avsbench, write_avsbench
from lavseg.data.decoding import NamedStream, undecodable_rows, without_decoding


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    clips = {"s4": {"train": 2}, "v1m": {"train": 2}}
    return write_avsbench(tmp_path_factory.mktemp("data") / "AVSBench", clips, (28, 36))


@pytest.fixture
def root(written, tmp_path):
    return shutil.copytree(written, tmp_path / "AVSBench")


def without_pixels(path):
    """A PNG with right checksums whose pixels are not what they are compressed from."""
    with Image.open(path) as image:
        size = image.size
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for name, body in (
            (b"IHDR", size[0].to_bytes(4) + size[1].to_bytes(4) + bytes([8, 0, 0, 0, 0])),
            (b"IDAT", compress(b"\0")[:-1]),
            (b"IEND", b""),
        ):
            PngImagePlugin.putchunk(file, name, body)


def test_whole_rows_are_passed(root):
    assert undecodable_rows(load_avsbench(root, "s4", "train")) == []
    assert undecodable_rows(load_avsbench(root, "v1m", "train")) == []


@pytest.mark.parametrize("column", ["frames", "masks"])
def test_images_that_only_decoding_shows_to_be_damaged_are_named(root, column):
    rows = load_avsbench(root, "s4", "train")
    row = list(without_decoding(rows, ["clip", column]))[1]
    without_pixels(root / row[column][-1]["path"])
    found = undecodable_rows(load_avsbench(root, "s4", "train"))
    assert [error.reason for error in found] == ["image that cannot be decoded"]
    assert row["clip"] in str(found[0]) and row[column][-1]["path"] in str(found[0])


def test_colours_that_are_no_class_are_named(root):
    rows = load_avsbench(root, "v1m", "train")
    path = next(without_decoding(rows, ["masks"]))["masks"][0]["path"]
    Image.fromarray(np.full((28, 36, 3), (7, 8, 9), np.uint8)).save(path)
    found = undecodable_rows(rows)
    assert [error.reason for error in found] == ["colour of no class"] and "(7, 8, 9)" in str(found[0])
    Image.new("L", (36, 28), 255).save(path)
    assert "without a colour" in str(undecodable_rows(rows)[0])


def test_a_stream_goes_on_pass_after_pass_each_in_an_order_of_its_own(root):
    rows = datasets.concatenate_datasets([load_avsbench(root, name, "train") for name in ("s4", "v1m")])
    stream = NamedStream(rows.to_iterable_dataset(num_shards=2).shuffle(seed=0, buffer_size=4))
    drawn = list(islice(stream, 5 * len(rows)))
    assert [row["epoch"] for row in drawn] == [epoch for epoch in range(5) for _ in rows]
    passes = [[row["clip"] for row in drawn[start : start + len(rows)]] for start in range(0, len(drawn), len(rows))]
    assert all(sorted(names) == sorted(rows["clip"]) for names in passes) and len({*map(tuple, passes)}) > 1
    assert [row["clip"] for row in islice(stream, len(drawn))] == [row["clip"] for row in drawn]
    first = next(row for row in drawn if row["clip"] == rows[0]["clip"])
    assert np.array_equal(np.asarray(first["frames"][0]), np.asarray(rows[0]["frames"][0]))
    # More processes than files.
    loader = DataLoader(NamedStream(rows.to_iterable_dataset()), 1, num_workers=2, collate_fn=clip_of_first)
    assert {*islice(loader, 2 * len(rows))} == {*rows["clip"]}


def clip_of_first(rows):
    return rows[0]["clip"]


def test_a_row_of_a_stream_that_cannot_be_decoded_names_its_clip(root):
    rows = load_avsbench(root, "s4", "train")
    second = list(without_decoding(rows, ["clip", "frames"]))[1]
    without_pixels(root / second["frames"][-1]["path"])
    found = iter(NamedStream(rows.to_iterable_dataset()))
    assert next(found)["epoch"] == 0
    with pytest.raises(ValueError, match=rf"^clip {second['clip']}: an image cannot be decoded: .+; copy"):
        next(found)


def test_a_stream_is_for_one_process(root, monkeypatch):
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    with pytest.raises(ValueError, match=r"^streaming: is for one process"):
        NamedStream(load_avsbench(root, "s4", "train").to_iterable_dataset())
