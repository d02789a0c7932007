import re

import pytest
from tiny.charts import line_chart, moving_mean


def places(svg):
    return [tuple(map(float, point.split(","))) for point in svg.split('points="')[1].split('"')[0].split()]


def test_line_chart_places_its_points():
    svg = line_chart([(0, 0.0), (50, 0.5), (100, 1.0)], "a < b", width=200, height=100, y_label="J & F")
    (x0, y0), (x1, y1), (x2, y2) = places(svg)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert y2 < y0 and "a &lt; b" in svg and "J &amp; F" in svg and ">step<" in svg


def test_a_smoothed_line_is_calmer_than_its_points():
    values = [1.0 + 0.3 * (-1) ** step for step in range(48)]
    svg = line_chart(list(enumerate(values)), "loss", smooth=True)
    points = [float(y) for y in re.findall(r'class="faint" cx="[\d.]+" cy="([\d.]+)"', svg)]
    line = [y for _, y in places(svg)][4:-4]
    assert len(points) == len(values)
    assert max(line) - min(line) < (max(points) - min(points)) / 3


def test_moving_mean_keeps_straight_lines():
    values = [2.0 * step for step in range(40)]
    assert moving_mean(values)[2:-2] == pytest.approx(values[2:-2])
    assert moving_mean([4.0] * 30) == pytest.approx([4.0] * 30)
    assert moving_mean([3.0]) == [3.0]


def test_steps_that_begin_late_fill_the_width():
    svg = line_chart([(step, 1.0) for step in range(900, 1001, 10)], "loss", width=200)
    xs = [x for x, _ in places(svg)]
    assert xs[-1] - xs[0] > 100 and ">900<" in svg and ">1000<" in svg and ">200<" not in svg
    assert len(places(line_chart([(1, 1.0)], "one step"))) == 1
