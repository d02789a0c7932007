import numpy as np
import pytest
from PIL import Image

from conftest import golden_files
from lavseg.data.masks import binary_masks


def png(mode):
    """A mask with one foreground rectangle in any of the ways a PNG may hold it."""
    inside = np.zeros((24, 32), bool)
    inside[5:15, 8:22] = True
    if mode == "P":
        image = Image.fromarray(inside.astype(np.uint8), "P")
        image.putpalette([0, 0, 0, 128, 0, 0])
    elif mode == "0/1":
        image = Image.fromarray(inside.astype(np.uint8))
    else:
        image = Image.fromarray(inside.astype(np.uint8) * 255).convert(mode)
    return image, inside


def test_any_png_mode_is_read():
    for mode in ("L", "0/1", "1", "P", "RGB", "RGBA"):
        image, inside = png(mode)
        masks = binary_masks([image, image], (24, 32))
        assert masks.dtype == np.uint8 and masks.shape == (2, 24, 32) and np.array_equal(masks[1], inside), mode
        assert set(np.unique(binary_masks([image], (12, 16))[0])) == {0, 1}


def test_bilinear_enlarges_the_objects():
    image, _ = png("L")
    nearest, smooth = (binary_masks([image], (256, 256), how)[0] for how in ("nearest", "bilinear_gt0"))
    assert np.all(smooth >= nearest) and smooth.sum() > nearest.sum()


def test_bad_mask_arguments():
    with pytest.raises(ValueError, match="mask_resize: got 'cubic'"):
        binary_masks([png("L")[0]], (4, 4), "cubic")
    with pytest.raises(ValueError, match="images: got none"):
        binary_masks([], (4, 4))


# The official readers' names, and what reads the same here.
READERS = {
    "auralsam2_v1m_v2_refavs_L_gt0": ((24, 32), "nearest"),
    "gavs_cv2_gray_gt0": ((24, 32), "nearest"),
    "auralsam2_test_L_nearest64_gt0": ((64, 64), "nearest"),
    "refavs_cv2_resize256_bilinear_gray_gt0": ((256, 256), "bilinear_gt0"),
}


@pytest.mark.parametrize("file", golden_files("loader/mask_modes.npz"))
@pytest.mark.parity
def test_png_modes_agree_with_official_readers(file):
    expected = np.load(file)
    images = sorted((file.parent / "masks").glob("*.png"))
    assert images
    for path in images:
        for reader, (size, mask_resize) in READERS.items():
            with Image.open(path) as image:
                found = binary_masks([image], size, mask_resize)[0]
            assert np.array_equal(found, expected[f"{path.stem}__{reader}"]), (path.stem, reader)
