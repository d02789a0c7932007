import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavseg.visualization import legend, palette
from lavseg.visualization.legends import default_font, wrap

FONT = default_font(16)


@settings(max_examples=40, deadline=None)
@given(st.text(st.sampled_from("ab iW"), max_size=60), st.integers(40, 300))
def test_lines_fit_and_nothing_is_lost(text, width):
    lines = wrap(text, FONT, width)
    assert all(FONT.getlength(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_text_of_too_many_lines_ends_with_an_ellipsis():
    lines = wrap("the dog " * 40, FONT, 200, most=3)
    assert len(lines) == 3 and lines[2].endswith("…") and FONT.getlength(lines[2]) <= 200
    assert wrap("the dog", FONT, 200, most=3) == ["the dog"] and wrap(" ", FONT, 200, most=3) == []


def test_a_legend_shows_each_colour_beside_its_text():
    picture = legend(["the dog that barks", "a flute"], palette(2), 300, 16)
    for color in palette(2):
        rows, columns = np.nonzero((picture == color).all(-1))
        assert len(rows) > 100 and columns.max() < 30
        text = picture[rows.min() : rows.max(), 30:]
        assert (text < 60).all(-1).any()
    assert (picture[-1] == 255).all()


def test_short_texts_share_a_line_and_long_ones_take_as_many_as_they_need():
    one, six = (len(legend(["a dog"] * count, palette(count), 600, 16)) for count in (1, 6))
    assert one == six
    heights = [len(legend(["dog " * count] * 2, palette(2), 600, 16)) for count in (4, 10, 20, 45, 3000)]
    assert heights[0] < heights[1] < heights[2] < heights[3] == heights[4]


def test_there_is_a_text_for_each_colour():
    with pytest.raises(ValueError, match="1 labels for 2 colours"):
        legend(["a"], palette(2), 300, 16)
