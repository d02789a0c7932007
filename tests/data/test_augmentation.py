import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lavseg.data.augmentation import FILL, ClipAugmentation
from lavseg.data.classes import PALETTE, class_masks

PAPER = {"degrees": 0, "shear": 0, "grayscale_probability": 0.1, "color_jitter": True}


def row(number=0, labels=3, has_classes=True):
    """Three frames of 40x60 that show, on gray, a coloured rectangle exactly where the mask has class 28."""
    ids = np.zeros((40, 60), np.uint8)
    ids[8:26, 12:34] = 28
    frame = np.where(ids[..., None] > 0, [200, 40, 90], 120).astype(np.uint8)
    mask = PALETTE[ids] if has_classes else (255 * (ids > 0)).astype(np.uint8)
    frames, masks = ([Image.fromarray(image)] * count for image, count in ((frame, 3), (mask, labels)))
    return {"id": number, "frames": frames, "masks": masks, "has_classes": has_classes, "text": None}


def pixels(images):
    return np.stack([np.asarray(image) for image in images])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(0, 100))
def test_masks_follow_the_frames_and_all_frames_move_alike(number, epoch):
    got = ClipAugmentation(grayscale_probability=0)(row(number), epoch)
    frames, classes = pixels(got["frames"]), class_masks(got["masks"], (40, 60))
    assert (frames == frames[0]).all() and (classes == classes[0]).all() and set(np.unique(classes)) == {0, 28}
    assert np.mean((frames[..., 1] < 80) == (classes > 0)) > 0.97


def test_without_classes_the_masks_are_gray():
    got = ClipAugmentation()(row(has_classes=False))
    assert {mask.mode for mask in got["masks"]} == {"L"} and set(np.unique(pixels(got["masks"]))) <= {0, 255}


def test_palette_masks_keep_their_foreground():
    start = row(has_classes=False)
    palette = [mask.point(lambda value: value // 255).convert("L") for mask in start["masks"]]
    for mask in palette:
        mask.putpalette([255, 255, 255, 128, 0, 0])
    expected = ClipAugmentation()(start)
    black = [Image.fromarray(np.asarray(mask), "P") for mask in palette]
    for mask in black:
        mask.putpalette([0, 0, 0, 128, 0, 0])
    got = ClipAugmentation()({**start, "masks": black})
    assert np.array_equal(pixels(got["masks"]) > 0, pixels(expected["masks"]) > 0)


def test_a_mirror_alone_is_exact_and_comes_as_often_as_said():
    flip = ClipAugmentation(degrees=0, shear=0, grayscale_probability=0)
    flipped = []
    for number in range(300):
        got = flip(row(number, labels=1))
        mirrored = pixels(row()["frames"])[:, :, ::-1]
        flipped.append(np.array_equal(pixels(got["frames"]), mirrored))
        assert flipped[-1] or np.array_equal(pixels(got["frames"]), pixels(row()["frames"]))
        assert len(got["masks"]) == 1
    assert 0.4 < np.mean(flipped) < 0.6


def test_what_leaves_the_frame_is_filled():
    got = ClipAugmentation(flip_probability=0, grayscale_probability=0)(row(3))
    frames, masks = pixels(got["frames"]), pixels(got["masks"])
    corners = np.array([frames[0, y, x] for y in (0, -1) for x in (0, -1)])
    assert (corners == np.array(FILL, np.uint8)).all(1).any() and not masks[0, [0, 0, -1, -1], [0, -1, 0, -1]].any()


def test_gray_for_the_whole_clip_or_not_at_all():
    gray = ClipAugmentation(degrees=0, shear=0, grayscale_probability=0.3)
    share = []
    for number in range(200):
        frames = pixels(gray(row(number))["frames"])
        is_gray = (frames == frames[..., :1]).all((1, 2, 3))
        assert is_gray.all() or not is_gray.any()
        share.append(is_gray[0])
    assert 0.2 < np.mean(share) < 0.4


def test_jitter_reaches_the_frames_and_leaves_the_masks():
    plain = ClipAugmentation(**{**PAPER, "color_jitter": False, "grayscale_probability": 0})
    jitter = ClipAugmentation(**{**PAPER, "grayscale_probability": 0})
    ratios = []
    for number in range(20):
        before, after = plain(row(number)), jitter(row(number))
        assert np.array_equal(pixels(before["masks"]), pixels(after["masks"]))
        means = pixels(after["frames"]).mean((1, 2, 3)) / pixels(before["frames"]).mean((1, 2, 3))
        assert len(set(means.round(4))) > 1
        ratios += means.tolist()
    assert 0.78 < min(ratios) < 0.95 and 1.05 < max(ratios) < 1.23


@pytest.mark.parametrize("options", [{}, PAPER], ids=["released", "paper"])
def test_the_draw_depends_on_seed_epoch_and_id_only(options):
    def draw(number=1, epoch=2, seed=3):
        np.random.seed()
        return pixels(ClipAugmentation(**options, seed=seed)(row(number), epoch)["frames"])

    assert np.array_equal(draw(), draw())
    for name in ("number", "epoch", "seed"):
        assert any(not np.array_equal(draw(), draw(**{name: value})) for value in range(10, 15))


def test_null_rows_and_other_columns_pass():
    start = {**row(labels=0), "is_null": True, "audio": {"path": "a.wav"}}
    got = ClipAugmentation()(start)
    assert got["masks"] == [] and got["audio"] is start["audio"] and len(got["frames"]) == 3


@pytest.mark.parametrize(
    "options",
    [{"flip_probability": 1.2}, {"grayscale_probability": -0.1}, {"degrees": -5}, {"degrees": 181}, {"shear": 90}],
)
def test_bad_options_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        ClipAugmentation(**options)
