import shutil
from zlib import compress

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from lavseg.data import load_avsbench, write_avsbench
from lavseg.data.decoding import undecodable_rows, without_decoding


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
