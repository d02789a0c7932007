import numpy as np
import pytest
from PIL import Image

from conftest import golden_files
from lavseg.data import load_ref_avs
from lavseg.data.augmentation import ClipAugmentation
from lavseg.data.masks import binary_masks, check_masks, mask_colors, row_masks, same_shape


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


INSIDE = np.zeros((24, 32), bool)
INSIDE[5:15, 8:22] = True


def indexed(colors, indices=INSIDE):
    image = Image.fromarray(indices.astype(np.uint8), "P")
    image.putpalette(colors)
    return image


def with_alpha(colors, alpha, mode="RGBA"):
    image = Image.new("RGB", INSIDE.shape[::-1]) if colors is None else Image.fromarray(colors)
    image.putalpha(Image.fromarray(alpha))
    return image.convert(mode)


def picture(outside, inside):
    pixels = np.empty((*INSIDE.shape, 3), np.uint8)
    pixels[INSIDE], pixels[~INSIDE] = inside, outside
    return pixels


def keyed(mode, key, values):
    """A mask whose background is transparent by its colour."""
    image = Image.fromarray(values, mode)
    image.info["transparency"] = key
    return image


NUMBERS, ALPHA = INSIDE.astype(np.uint8), INSIDE.astype(np.uint8) * 255
ODD_MASKS = {
    "indices without colours": indexed([]),
    "indices with one colour": indexed([0, 0, 0]),
    "indices, all black": indexed([0, 0, 0] * 256),
    "indices, all white": indexed([255, 255, 255] * 2),
    "an index past the colours": indexed([0, 0, 0, 128, 0, 0], 5 * NUMBERS),
    "indices, background last": indexed([255, 0, 0, 0, 0, 0], 1 - NUMBERS),
    "alpha over black": with_alpha(None, ALPHA),
    "alpha over white": with_alpha(picture(255, 255), ALPHA),
    "alpha of 0 and 1": with_alpha(picture(255, 255), NUMBERS),
    "black object on nothing": with_alpha(picture(255, 0), ALPHA),
    "red object on transparent white": with_alpha(picture(255, (128, 0, 0)), ALPHA),
    "gray with alpha": with_alpha(None, ALPHA, "LA"),
    "transparent colours around": with_alpha(picture(0, 255), np.where(INSIDE, 255, 128).astype(np.uint8)),
    "transparent everywhere": with_alpha(picture(0, 255), 0 * ALPHA),
    "transparent background colour": keyed("L", 7, np.where(INSIDE, 200, 7).astype(np.uint8)),
    "16 bits, 0 and 1": Image.fromarray(INSIDE.astype(np.uint16)),
    "16 bits, 0 and 256": Image.fromarray(INSIDE.astype(np.uint16) * 256),
    "16 bits, 0 and 65535": Image.fromarray(INSIDE.astype(np.uint16) * 65535),
    "32 bits, 0 and 1": Image.fromarray(INSIDE.astype(np.int32)),
    "floats": Image.fromarray(INSIDE.astype(np.float32) / 2),
}


@pytest.mark.parametrize("image", ODD_MASKS.values(), ids=ODD_MASKS)
def test_masks_are_found_where_colours_do_not_say_them(image):
    for how in ("nearest", "bilinear_gt0"):
        assert np.array_equal(binary_masks([image], (24, 32), how)[0], INSIDE), how
    row = {"id": 0, "clip": "c", "is_null": False, "frames": [Image.new("RGB", (32, 24))], "masks": [image]}
    changed = ClipAugmentation(flip_probability=1, degrees=0, shear=0)(row)
    assert np.array_equal(row_masks(changed)[0], INSIDE[:, ::-1])


def test_nothing_is_found_where_all_is_transparent_and_of_one_colour():
    white = np.full((24, 32), 200, np.uint8)
    for image in (with_alpha(picture(255, 255), 0 * ALPHA), keyed("L", 200, white)):
        for how in ("nearest", "bilinear_gt0"):
            assert not binary_masks([image], (24, 32), how).any(), (image.mode, how)
        assert not np.asarray(mask_colors(image)).any()


def test_objects_without_colours_have_no_class():
    for name in ("indices, all black", "alpha over black", "16 bits, 0 and 1", "gray with alpha"):
        with pytest.raises(ValueError, match="has objects without a colour, which would say the class"):
            mask_colors(ODD_MASKS[name])
    red = np.asarray(mask_colors(ODD_MASKS["red object on transparent white"]))
    assert np.array_equal(red, picture(0, (128, 0, 0)))
    blank = np.asarray(mask_colors(Image.new("L", (32, 24))))
    assert blank.shape == (24, 32, 3) and not blank.any()


def test_the_mask_of_the_cases_is_found(cases):
    row = load_ref_avs(cases / "mask-index-no-palette" / "data", "train")[0]
    assert row_masks(row).sum() == 15_090


@pytest.mark.parametrize("frame", [(1280, 720), (224, 224), (36, 28), (5, 3)])
def test_copies_of_a_shape_are_known(frame):
    width, height = frame
    for factor in (0.5, 1, 2, 1.7):
        assert same_shape(frame, (max(1, round(width * factor)), max(1, round(height * factor))))
    if width != height:
        assert not same_shape(frame, (height, width)) and not same_shape(frame, (2 * height, 2 * width))
    assert not same_shape(frame, (2 * width, height))


def row_of(masks, frames=2):
    return {"clip": "abc", "frames": [Image.new("RGB", (32, 24))] * frames, "masks": masks, "is_null": False}


def test_masks_that_do_not_belong_to_a_row_are_named():
    mask, turned, jpeg = Image.new("L", (32, 24)), Image.new("L", (24, 32)), Image.new("L", (32, 24))
    jpeg.format = "JPEG"
    check_masks(row_of([mask]))
    for masks, message in (
        ([], "clip abc has 0, expected 1 to 2"),
        ([mask] * 3, "clip abc has 3, expected 1 to 2"),
        ([mask, turned], r"that of frame 1 of clip abc has width and height \(24, 32\), another shape"),
        ([jpeg], "those of clip abc are JPEG, which blurs edges"),
    ):
        with pytest.raises(ValueError, match=f"^masks: {message}"):
            row_masks(row_of(masks))


def test_bilinear_enlarges_the_objects():
    image, _ = png("L")
    nearest, smooth = (binary_masks([image], (256, 256), how)[0] for how in ("nearest", "bilinear_gt0"))
    assert np.all(smooth >= nearest) and smooth.sum() > nearest.sum()


def test_bad_mask_arguments():
    with pytest.raises(ValueError, match="mask_resize: got 'cubic'"):
        binary_masks([png("L")[0]], (4, 4), "cubic")
    with pytest.raises(ValueError, match="images: got none"):
        binary_masks([], (4, 4))
    with pytest.raises(ValueError, match="images: have different sizes"):
        binary_masks([png("L")[0], Image.new("L", (3, 3))], (4, 4), "bilinear_gt0")


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


def test_a_faint_edge_of_a_dark_colour_is_black_in_gray():
    """As OpenCV has it, which resizes colours: of a blue of 5 five eighths are 3, 0.34 in gray; all of it is 0.57."""
    dark = np.zeros((1, 8, 3), np.uint8)
    dark[:, 4:] = [0, 0, 5]
    gray = np.repeat(np.asarray(Image.fromarray(dark).convert("L"))[..., None], 3, axis=-1)
    assert gray.max() == 1
    found, plain = (binary_masks([Image.fromarray(each)], (1, 32), "bilinear_gt0")[0, 0] for each in (dark, gray))
    # Pixels 14 to 17 of 32 lie one to seven eighths of the way to the colour.
    assert found.tolist() == [0] * 18 + [1] * 14
    assert plain.tolist() == [0] * 16 + [1] * 16
