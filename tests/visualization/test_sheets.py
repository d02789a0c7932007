import numpy as np
import pytest
from PIL import Image

from lavseg.visualization import contact_sheet, legend, mask_sheet, overlay, palette, side_by_side

FRAMES = np.zeros((2, 40, 60, 3), np.uint8)


def square(frames=2, size=(40, 60)) -> np.ndarray:
    masks = np.zeros((frames, *size), bool)
    masks[:, 10:20, 15:30] = True
    return masks


def test_side_by_side_draws_each_models_masks_over_the_same_frame():
    frame, masks = np.full((300, 500, 3), 90, np.uint8), square(1, (300, 500))
    pair = np.asarray(side_by_side(frame, [masks, ~masks], ["first", "second"]))
    left, right = pair[4:304, 4:504], pair[4:304, 508:1008]
    np.testing.assert_array_equal(left, overlay(frame[None], masks)[0])
    np.testing.assert_array_equal(right, overlay(frame[None], ~masks)[0])
    with pytest.raises(ValueError, match="1 labels for 2"):
        side_by_side(frame, [masks, masks], ["only"])


def test_small_frames_side_by_side_are_enlarged():
    assert side_by_side(FRAMES[0], [square(1)] * 2, ["", ""]).size == (2 * 484 + 4, 320 + 8)


def test_a_sheet_of_masks_has_a_legend_and_the_sound_under_each_frame():
    masks, sounds = np.stack([square(), ~square()]), [np.zeros((1, 800)), np.ones((1, 800))]
    given = FRAMES, masks, ["the square", "the rest"], ["0 s", "1 s"], 2
    silent, sheet = np.asarray(mask_sheet(*given)), np.asarray(mask_sheet(*given, sounds))
    key = legend(["the square", "the rest"], palette(2), sheet.shape[1], 16)
    np.testing.assert_array_equal(sheet[: len(key)], key)
    assert sheet.shape[1] == silent.shape[1] == 2 * 324 + 4 and len(sheet) == len(silent) + 28
    below = sheet[len(key) + 4 + round(320 * 40 / 60) :][:28]
    dark = (below < 60).all(-1).sum(0)
    assert (dark[4:324] <= 2).all() and (dark[328:648] >= 20).all()


def test_a_sheet_of_masks_takes_masks_of_another_size():
    masks = square()[None]
    large = np.asarray(mask_sheet(FRAMES, masks.repeat(2, 2).repeat(2, 3), ["a"], ["", ""], 2)).astype(int)
    assert np.abs(large - np.asarray(mask_sheet(FRAMES, masks, ["a"], ["", ""], 2))).mean() < 1


@pytest.mark.parametrize(
    ("labels", "captions", "message"),
    [(["a", "b"], ["", ""], "2 labels for 1 colours"), (["a"], [""], "1 labels for 2 images")],
)
def test_a_sheet_of_masks_names_what_is_wrong(labels, captions, message):
    with pytest.raises(ValueError, match=message):
        mask_sheet(FRAMES, square()[None], labels, captions, 2)


def test_contact_sheet_places_pictures_and_captions():
    images = [np.full((30, 50, 3), 10 * index, np.uint8) for index in range(1, 4)] + [Image.new("RGB", (40, 20), "red")]
    sheet = contact_sheet(images, columns=3)
    plain = np.asarray(sheet)
    assert sheet.mode == "RGB" and plain.shape == (2 * 34 + 4, 3 * 54 + 4, 3)
    assert [plain[4, 4 + 54 * column, 0] for column in range(3)] == [10, 20, 30]
    assert tuple(plain[38, 4]) == (255, 0, 0) and (plain[40:, 60:] == 255).all()
    captioned = contact_sheet(images, 3, ["a", "the louder of the two dogs", "b", ""])
    assert captioned.width == sheet.width and captioned.height > sheet.height
    below = np.asarray(captioned)[34 : captioned.height // 2, 58:108]
    assert (below < 128).any()


def test_captions_grow_with_the_pictures():
    low, high = (
        contact_sheet(np.zeros((1, 9, width, 3), np.uint8), 1, ["a"]).height
        - contact_sheet(np.zeros((1, 9, width, 3), np.uint8), 1).height
        for width in (600, 1200)
    )
    assert high > 1.5 * low


def test_contact_sheet_of_fewer_pictures_than_columns_is_not_padded():
    assert contact_sheet(np.zeros((2, 10, 10, 3), np.uint8), 5).size == (2 * 14 + 4, 18)


@pytest.mark.parametrize(
    ("images", "columns", "labels", "message"),
    [([], 2, None, "0 images"), (FRAMES, 0, None, "0 columns"), (FRAMES, 2, ["a"], "1 labels for 2 images")],
)
def test_contact_sheet_names_what_is_wrong(images, columns, labels, message):
    with pytest.raises(ValueError, match=message):
        contact_sheet(images, columns, labels)
