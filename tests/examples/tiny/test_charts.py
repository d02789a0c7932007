import pytest
from tiny.charts import line_chart


def test_line_chart_places_its_points():
    svg = line_chart([(0, 0.0), (50, 0.5), (100, 1.0)], "a < b", width=200, height=100)
    points = [tuple(map(float, point.split(","))) for point in svg.split('points="')[1].split('"')[0].split()]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert y2 < y0 and "a &lt; b" in svg
