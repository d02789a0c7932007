import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from conftest import golden_files
from lavseg.data.classes import CLASSES, PALETTE, class_masks, row_classes
from lavseg.data.masks import binary_masks


def test_classes_and_colours():
    assert len(CLASSES) == len(set(CLASSES)) == 71 and CLASSES[0] == "background"
    assert list(CLASSES[1:]) == sorted(CLASSES[1:])
    assert len(np.unique(PALETTE, axis=0)) == 71
    assert {1: (128, 0, 0), 2: (0, 128, 0), 4: (0, 0, 128), 8: (64, 0, 0), 64: (32, 0, 0)}.items() <= {
        index: tuple(color) for index, color in enumerate(PALETTE.tolist())
    }.items()


@given(arrays(np.uint8, (2, 5, 7), elements=st.integers(0, 70)))
def test_colours_give_the_classes_back(ids):
    images = [Image.fromarray(PALETTE[frame]) for frame in ids]
    assert np.array_equal(class_masks(images, (5, 7)), ids)
    assert np.array_equal(binary_masks(images, (5, 7)), ids > 0)


@given(arrays(np.uint8, (1, 4, 4, 3)))
def test_foreign_colours_are_background(pixels):
    """Against a comparison with every colour of the palette."""
    same = (pixels[..., None, :] == PALETTE).all(-1)
    expected = np.where(same.any(-1), same.argmax(-1), 0)
    assert np.array_equal(class_masks([Image.fromarray(frame) for frame in pixels], (4, 4)), expected)


def test_resizing_invents_no_class():
    ids = np.zeros((12, 12), np.uint8)
    ids[3:9, 2:7] = 28
    ids[5:, 7:] = 70
    for image in (Image.fromarray(PALETTE[ids]), Image.fromarray(PALETTE[ids]).convert("RGBA")):
        assert set(np.unique(class_masks([image], (31, 17)))) == {0, 28, 70}


@pytest.mark.parametrize("row", [{"clip": "abc"}, {"clip": "abc", "has_classes": False}])
def test_rows_without_classes_are_refused(row):
    with pytest.raises(ValueError, match=r"classes: the masks of clip abc .*v1s, v1m and v2"):
        row_classes(row)


@pytest.mark.parametrize("file", golden_files("loader/golden_loader.npz"))
@pytest.mark.parity
def test_palette_agrees_with_the_official_code(file):
    assert np.array_equal(PALETTE, np.load(file)["avss_palette_71x3"])
    assert tuple(json.loads((file.parent / "synth" / "AVSBench" / "label2idx.json").read_text())) == CLASSES
