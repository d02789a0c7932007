import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from lavseg.media import read_video, write_video
from lavseg.visualization import overlay, palette, save_mask
from lavseg.visualization.mask_pictures import resize


def square(frames=2, size=(40, 60)) -> np.ndarray:
    masks = np.zeros((frames, *size), bool)
    masks[:, 10:20, 15:30] = True
    return masks


EQUALLY_BRIGHT = [(100, 100, 100), (0, 170, 2), (255, 40, 2)]
FRAMES, MASKS = np.zeros((2, 40, 60, 3), np.uint8), square()


def test_outside_the_masks_frames_are_grey_and_dim():
    frames = np.random.default_rng(0).integers(0, 256, (2, 200, 300, 3), np.uint8)
    before = frames.copy()
    drawn = overlay(frames, square(size=(200, 300)))
    assert drawn.dtype == np.uint8 and (frames == before).all()
    outside = drawn[:, 30:].astype(int)
    assert (outside == outside[..., :1]).all() and outside.min() > 20 and outside.max() < 130
    brightness = frames[:, 30:] @ [0.299, 0.587, 0.114]
    assert np.corrcoef(brightness.ravel(), outside[..., 0].ravel())[0, 1] > 0.99


@pytest.mark.parametrize("value", [0, 60, 128, 255])
def test_a_mask_shines_through_its_colour_and_has_a_contour_and_a_rim(value):
    mask = np.zeros((1, 400, 400), bool)
    mask[:, 100:300, 100:300] = True
    drawn = overlay(np.full((1, 400, 400, 3), value, np.uint8), mask, colors=[(200, 0, 50)])[0].astype(int)
    inside, edge, outside = drawn[200, 150], drawn[200, 100], drawn[200, 50]
    assert np.abs(inside - (0.45 * value + 0.55 * np.array([200, 0, 50]))).max() <= 1
    assert np.abs(edge - [200, 0, 50]).max() <= 1
    rim = drawn[200, 95:100].min(-1).max()
    assert rim > 180 and rim > outside.max() + 50


def test_a_colour_is_the_same_on_any_other():
    masks = np.ones((1, 8, 8), bool)
    shown = [overlay(np.full((1, 8, 8, 3), color, np.uint8), masks)[0, 4, 4].tolist() for color in EQUALLY_BRIGHT]
    assert np.abs(np.array(shown) - (0.45 * 100 + 0.55 * palette(1)[0])).max() < 2


def test_no_contour_along_the_frames_border():
    drawn = overlay(np.zeros((1, 8, 8, 3), np.uint8), np.ones((1, 8, 8), bool))
    assert (drawn == np.rint(palette(1)[0] * 0.55)).all()


@pytest.mark.parametrize(("height", "thickness"), [(200, 1.5), (720, 3.6), (1080, 5.4)])
def test_contour_grows_with_the_frame(height, thickness):
    mask = np.zeros((1, height, height), bool)
    mask[:, 50:150, 50:150] = True
    row = overlay(np.zeros((1, height, height, 3), np.uint8), mask, colors=[(0, 255, 0)])[0, 100, 40:100].astype(int)
    fill = row[-1, 1]
    # Half of it lies inside of the edge.
    assert ((row[10:, 1] - fill).clip(0) / (255 - fill)).sum() == pytest.approx(thickness / 2 + 0.5, abs=0.3)


def test_where_masks_overlap_stripes_of_their_colours_alternate():
    frames, masks = np.zeros((1, 300, 300, 3), np.uint8), np.zeros((3, 1, 300, 300), bool)
    masks[:2, :, 50:250, 50:250] = True
    masks[2, :, 150:200, 260:290] = True
    drawn, colors = overlay(frames, masks)[0], np.rint(palette(3) * 0.55)
    shares = [(drawn[70:230, 70:230] == color).all(-1).mean() for color in colors]
    assert shares[0] == pytest.approx(shares[1], abs=0.05) and sum(shares) == pytest.approx(1) and shares[2] == 0
    edges = [(drawn[100:200, 50] == color).all(-1).mean() for color in palette(2)]
    assert min(edges) > 0.3
    assert (drawn[175, 275] == colors[2]).all()


@settings(max_examples=30, deadline=None)
@given(arrays(bool, (3, 2, 12, 9)))
def test_any_masks_can_be_drawn_and_nothing_is_written_twice(masks):
    frames = np.random.default_rng(0).integers(0, 256, (2, 12, 9, 3), np.uint8)
    drawn = overlay(frames, torch.from_numpy(masks))
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(overlay(frame[None], masks[:, index : index + 1])[0], drawn[index])
    nothing = overlay(frames, np.zeros_like(masks))
    empty = ~masks.any((0, 2, 3))
    np.testing.assert_array_equal(drawn[empty], nothing[empty])
    assert (nothing == nothing[..., :1]).all()


def test_the_first_colours_stay_apart_for_the_colour_blind():
    # Machado, Oliveira and Fernandes (2009), in linear RGB, of complete protanopia and deuteranopia.
    protan = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    deutan = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    linear = (palette(7) / 255) ** 2.2
    for seen in (linear @ np.transpose(protan), linear @ np.transpose(deutan)):
        shown = 255 * seen.clip(0, 1) ** (1 / 2.2)
        apart = np.linalg.norm(shown[:, None] - shown, axis=-1) + 1000 * np.eye(7)
        assert apart.min() > 25


def test_resized_masks_keep_their_place():
    mask = square(1, (40, 60))
    frame, masks = resize(FRAMES[0], mask, 240)
    assert frame.shape == (160, 240, 3) and masks.shape == (1, 160, 240)
    assert masks[0, 42:78, 62:118].all() and masks.mean() == pytest.approx(mask.mean(), rel=0.05)


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
    ],
)
def test_overlay_names_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        overlay(*arguments)


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
