"""Points and boxes that a user clicks."""

import numpy as np
import pytest

gr = pytest.importorskip("gradio", reason="Gradio is not installed (extra app)")

from lavseg.app.clicks import (  # noqa: E402
    CORNER,
    MAX_CLICKS,
    OFF_OBJECT,
    ON_OBJECT,
    Click,
    add_click,
    click_prompts,
    draw_clicks,
)


def test_a_third_corner_begins_another_box():
    clicks = []
    for x in (1, 2, 3):
        clicks = add_click(clicks, Click(0, 0, x, x, CORNER))
        clicks = add_click(clicks, Click(1, 0, x, x, ON_OBJECT))
    assert [click.x for click in clicks if click.kind == CORNER] == [3]
    assert [click.x for click in clicks if click.kind == ON_OBJECT] == [1, 2, 3]


def test_clicks_are_limited():
    with pytest.raises(ValueError, match=f"{MAX_CLICKS} clicks are taken; remove them"):
        add_click([Click(0, 0, 1, 1, ON_OBJECT)] * MAX_CLICKS, Click(0, 0, 1, 1, ON_OBJECT))


def test_prompts_are_padded_to_the_most_of_an_object_on_a_frame():
    clicks = [
        Click(1, 7, 5, 6, OFF_OBJECT),
        Click(0, 3, 30, 10, CORNER),
        Click(0, 3, 8, 9, ON_OBJECT),
        Click(0, 3, 20, 40, CORNER),
        Click(0, 5, 1, 1, CORNER),
    ]
    prompts = click_prompts(clicks, 2)
    assert prompts["prompt_frames"] == [3, 7]
    assert prompts["input_labels"].tolist() == [[[[2, 3, 1], [-1, -1, -1]], [[-1, -1, -1], [0, -1, -1]]]]
    points = prompts["input_points"]
    assert points.shape == (1, 2, 2, 3, 2) and points[0, 0, 0].tolist() == [[20, 10], [30, 40], [8, 9]]
    assert points[0, 1, 1, 0].tolist() == [5, 6]
    assert click_prompts([], 2) == click_prompts(clicks[-1:], 1) == {}
    with pytest.raises(ValueError, match="Clicks show object 1, there is no sentence for it"):
        click_prompts(clicks, 1)


def test_clicks_are_drawn_where_they_are():
    picture, colors = np.zeros((60, 80, 3), np.uint8), np.array([[250, 0, 0], [0, 0, 250]])
    clicks = [Click(1, 0, 70, 50, CORNER), Click(1, 0, 40, 20, CORNER), Click(0, 0, 10, 10, ON_OBJECT)]
    drawn = draw_clicks(picture, clicks, colors)
    assert drawn[35, 40].tolist() == drawn[20, 55].tolist() == [0, 0, 250]
    assert drawn[10, 10].any() and not drawn[35, 55].any() and not picture.any()
