import numpy as np
import pytest

from lavseg.visualization import attention_sheet, contact_sheet, heatmap

FRAMES = np.zeros((2, 40, 60, 3), np.uint8)


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
