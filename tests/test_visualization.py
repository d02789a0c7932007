import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from lavseg.media import read_video, write_video
from lavseg.visualization import (
    attention_sheet,
    contact_sheet,
    heatmap,
    overlay,
    palette,
    save_mask,
    side_by_side,
)


def square(frames=2, size=(40, 60)) -> np.ndarray:
    masks = np.zeros((frames, *size), bool)
    masks[:, 10:20, 15:30] = True
    return masks


FRAMES, MASKS = np.zeros((2, 40, 60, 3), np.uint8), square()


def test_overlay_fills_and_outlines():
    frames = np.full((2, 40, 60, 3), 100, np.uint8)
    before = frames.copy()
    drawn = overlay(frames, square(), colors=[(200, 0, 50)], alpha=0.25)
    assert drawn.dtype == np.uint8 and (frames == before).all()
    assert (drawn[~square()] == 100).all()
    assert (drawn[:, 11:19, 16:29] == [125, 75, 88]).all()
    edge = square()
    edge[:, 11:19, 16:29] = False
    assert (drawn[edge] == [200, 0, 50]).all()


def test_no_contour_along_the_frames_border():
    drawn = overlay(np.zeros((1, 8, 8, 3), np.uint8), np.ones((1, 8, 8), bool), alpha=0.5)
    assert (drawn == np.rint(palette(1)[0] / 2)).all()


@pytest.mark.parametrize(("height", "thickness"), [(200, 1), (720, 2), (1080, 3)])
def test_contour_grows_with_the_frame(height, thickness):
    mask = np.zeros((1, height, height), bool)
    mask[:, 50:150, 50:150] = True
    drawn = overlay(np.zeros((1, height, height, 3), np.uint8), mask, alpha=0)
    assert (drawn[0, 100, 50:100].any(-1)).sum() == thickness


@settings(max_examples=30, deadline=None)
@given(arrays(bool, (3, 2, 12, 9)), st.floats(0, 1))
def test_only_masked_pixels_change_and_later_objects_lie_on_top(masks, alpha):
    frames = np.random.default_rng(0).integers(0, 256, (2, 12, 9, 3), np.uint8)
    drawn = overlay(frames, torch.from_numpy(masks), alpha=alpha)
    assert (drawn[~masks.any(0)] == frames[~masks.any(0)]).all()
    solid = overlay(frames, masks, alpha=1)
    for index in range(3):
        on_top = masks[index] & ~masks[index + 1 :].any(0)
        assert (solid[on_top] == palette(3)[index]).all()


def test_palette_is_distinct():
    colors = palette(21)
    assert colors.shape == (21, 3) and colors.dtype == np.uint8
    assert len(np.unique(colors, axis=0)) == 21


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((FRAMES[0], MASKS), r"frames is uint8 \[40, 60, 3\]"),
        ((FRAMES / 255, MASKS), "frames is float64"),
        ((FRAMES, MASKS * 1.0), "masks is float64.*masks > 0"),
        ((FRAMES, MASKS[:1]), r"masks is \[1, 1, 40, 60\]; these frames take \[2, 40, 60\]"),
        ((FRAMES, MASKS[0]), r"masks is \[40, 60\]"),
        ((FRAMES, MASKS, palette(2)), r"colors is \[2, 3\]; 1 objects take \[1, 3\]"),
        ((FRAMES, MASKS, None, 1.5), "alpha is 1.5"),
    ],
)
def test_overlay_names_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        overlay(*arguments)


def test_heatmap_is_brightest_where_the_weight_is_and_leaves_the_least_alone():
    frame = np.full((40, 60, 3), 100, np.uint8)
    weights = np.zeros((4, 6))
    weights[1, 2] = 5
    drawn = heatmap(frame, weights, alpha=1)
    assert drawn.shape == frame.shape and (drawn[30:] == 50).all()
    row, column = np.unravel_index(drawn.astype(int).sum(-1).argmax(), (40, 60))
    assert row in (14, 15) and column in (24, 25)
    assert drawn[row, column, 0] > 230 and drawn[row, column, 2] > 120


@pytest.mark.parametrize("value", [0.0, 1.0, 1 / 64])
def test_a_map_that_is_the_same_everywhere_shows_the_frame_alone(value):
    frame = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    noise = np.random.default_rng(1).normal(size=(4, 4)) * 1e-7 * value
    grey = np.rint(frame.mean(-1, keepdims=True) / 2)
    assert (heatmap(frame, value + noise) == grey).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((FRAMES, np.ones((2, 2))), "frame is uint8"),
        ((FRAMES[0], np.ones(3)), r"weights is \[3\]"),
        ((FRAMES[0], np.full((2, 2), np.nan)), "finite"),
        ((FRAMES[0], np.ones((2, 2)), 2.0), "alpha is 2.0"),
    ],
)
def test_heatmap_names_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        heatmap(*arguments)


def test_attention_sheet_has_a_row_a_kind_and_a_column_a_block():
    maps = np.random.default_rng(0).random((3, 8, 8))
    sheet = attention_sheet(FRAMES[0], {"audio_attentions": maps, "before_attentions": maps[:1]}, width=90)
    row = contact_sheet(np.zeros((3, 60, 90, 3), np.uint8), 3, ["audio, block 1"] * 3)
    assert sheet.width == row.width and sheet.height == 2 * row.height - 4
    below = np.asarray(sheet)[row.height :]
    assert below[:, :90].min() == 0 and below[:, 100:].min() == 255


def test_side_by_side_draws_each_models_masks_over_the_same_frame():
    masks = square()[:1]
    pair = np.asarray(side_by_side(FRAMES[0], [masks, ~masks], ["first", "second"]))
    left, right = pair[4:44, 4:64], pair[4:44, 68:128]
    np.testing.assert_array_equal(left, overlay(FRAMES[:1], masks)[0])
    np.testing.assert_array_equal(right, overlay(FRAMES[:1], ~masks)[0])
    with pytest.raises(ValueError, match="1 labels for 2"):
        side_by_side(FRAMES[0], [masks, masks], ["only"])


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


def test_contact_sheet_of_fewer_pictures_than_columns_is_not_padded():
    assert contact_sheet(np.zeros((2, 10, 10, 3), np.uint8), 5).size == (2 * 14 + 4, 18)


@pytest.mark.parametrize(
    ("images", "columns", "labels", "message"),
    [([], 2, None, "0 images"), (FRAMES, 0, None, "0 columns"), (FRAMES, 2, ["a"], "1 labels for 2 images")],
)
def test_contact_sheet_names_what_is_wrong(images, columns, labels, message):
    with pytest.raises(ValueError, match=message):
        contact_sheet(images, columns, labels)


@settings(max_examples=20, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_a_saved_mask_reads_back(tmp_path_factory, mask):
    path = tmp_path_factory.mktemp("masks") / "00000.png"
    save_mask(mask, path)
    with Image.open(path) as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), mask * np.uint8(255))


@pytest.mark.parametrize("name", ["coffee", "nasa"])
def test_overlay_of_a_real_clip_is_written_with_its_sound(media, tmp_path, name):
    clip = read_video(media / f"{name}.mp4")
    count, height, width = clip.frames.shape[:3]
    rows, columns = np.mgrid[:height, :width]
    centers = np.linspace(0.2, 0.8, count)[:, None, None] * width
    masks = np.hypot(rows - height / 2, columns - centers) < height / 4
    drawn = overlay(clip.frames, np.stack([masks, masks[::-1]]))
    write_video(tmp_path / "overlay.mp4", drawn, clip.fps, clip.waveform, clip.sampling_rate)
    again = read_video(tmp_path / "overlay.mp4")
    assert again.frames.shape == clip.frames.shape
    assert np.abs(again.frames.astype(int) - drawn).mean() < 4
    assert again.waveform.shape == clip.waveform.shape
    assert np.sqrt(np.mean(np.square(again.waveform - clip.waveform))) < 0.01
