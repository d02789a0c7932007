import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from lavseg.inference.mask_files import MASK_FILES, ClassMaps, encode_rle
from saved_clips import decode_rle


@settings(max_examples=200, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.booleans(), fill=st.booleans()))
def test_run_lengths_round_trip(mask):
    rle = encode_rle(mask)
    assert rle["size"] == list(mask.shape)
    np.testing.assert_array_equal(decode_rle(json.loads(json.dumps(rle))), mask)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 2000), st.integers(1, 2000), st.data())
def test_long_runs_round_trip(height, width, data):
    mask = np.zeros((height, width), bool)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    mask[top : data.draw(st.integers(top, height)), left : data.draw(st.integers(left, width))] = True
    np.testing.assert_array_equal(decode_rle(encode_rle(mask)), mask)


def read_runs(counts):
    """COCO's string read by the letter: groups of five bits, then differences to the run before the last."""
    runs, value, shift = [], 0, 0
    for letter in counts:
        group = ord(letter) - 48
        value |= (group & 31) << shift
        shift += 5
        if not group & 32:
            value -= (1 << shift) if group & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value, shift = 0, 0
    return runs


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 1.0])
def test_runs_go_down_the_columns_and_begin_with_zeros(share):
    mask = np.random.default_rng(0).random((300, 200)) < share
    runs = read_runs(encode_rle(mask)["counts"])
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    np.testing.assert_array_equal(pixels, mask.T.ravel())
    assert all(run > 0 for run in runs[1:])


def test_known_strings():
    assert encode_rle(np.ones((3, 4), bool))["counts"] == "0<"
    assert encode_rle(np.zeros((3, 4), bool))["counts"] == "<"
    assert encode_rle(np.eye(4, dtype=bool))["counts"] == "01400000"


def test_wrong_masks_and_wrong_runs_are_refused():
    with pytest.raises(ValueError, match="give bool"):
        encode_rle(np.ones((3, 4)))
    with pytest.raises(ValueError, match="add up to 12 pixels, 4 x 4"):
        decode_rle({"size": [4, 4], "counts": "<"})


def read(kind, path):
    if kind == "png":
        return [np.asarray(Image.open(file)) > 0 for file in sorted(path.iterdir())]
    if kind == "rle":
        return [decode_rle(rle) for rle in json.loads(path.read_text())]
    with np.load(path) as arrays:
        return [arrays[name] for name in sorted(arrays)]


@pytest.mark.parametrize("count", [0, 1, 12])
@pytest.mark.parametrize("kind", MASK_FILES)
def test_files_hold_what_was_written_in_order(tmp_path, kind, count):
    masks = list(np.random.default_rng(0).random((count, 20, 30)) < 0.3)
    path = tmp_path / f"0{MASK_FILES[kind].suffix}"
    file = MASK_FILES[kind](path)
    for mask in masks:
        file.write(mask)
    file.close()
    found = read(kind, path)
    assert len(found) == count and all((a == b).all() for a, b in zip(found, masks, strict=True))


def test_pictures_of_classes_hold_their_numbers_and_show_their_colours(tmp_path):
    colors = np.array([(0, 0, 0), (128, 0, 64), (0, 255, 1)])
    maps, classes = ClassMaps(tmp_path / "classes", colors), np.array([[0, 1, 2], [2, 2, 0]], np.uint8)
    for shown in (classes, classes[::-1]):
        maps.write(shown)
    for number, shown in enumerate((classes, classes[::-1])):
        with Image.open(tmp_path / "classes" / f"{number:05d}.png") as picture:
            assert picture.mode == "P" and np.array_equal(np.asarray(picture), shown)
            assert np.array_equal(np.asarray(picture.convert("RGB")), colors[shown])
