"""Line charts as SVG."""

from html import escape

import numpy as np

# A smoothed line is the mean over a window of this share of the points.
SMOOTHING = 1 / 12


def line_chart(
    points: list[tuple[float, float]],
    title: str,
    width: int = 460,
    height: int = 260,
    y_label: str = "",
    smooth: bool = False,
) -> str:
    """An SVG line chart of `(x, y)` from zero upward, x being steps, with round numbers on its axes.

    Args:
        points: in order of `x`.
        title: above the chart.
        width, height: of its view box.
        y_label: what `y` is.
        smooth: draw the points faintly and a moving mean of them as the line.
    """
    left, right, top, bottom = 52, 14, 32, 42
    last, highest = max(max(x for x, _ in points), 1), max(max(y for _, y in points), 0.1)
    x_ticks, y_ticks = _ticks(last), _ticks(highest)
    span = max(highest, y_ticks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        return left + x / last * (width - left - right), height - bottom - y / span * (height - top - bottom)

    parts = [f'<text x="{left}" y="16" class="title">{escape(title)}</text>']
    for tick in y_ticks:
        _, y = place(0, tick)
        parts.append(f'<line x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        parts.append(
            f'<text x="{place(tick, 0)[0]:.1f}" y="{height - bottom + 16}" text-anchor="middle">{tick:g}</text>'
        )
    parts.append(f'<text x="{(left + width - right) / 2:.1f}" y="{height - 6}" text-anchor="middle">step</text>')
    middle = (top + height - bottom) / 2
    parts.append(
        f'<text x="12" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 12 {middle:.1f})">'
        f"{escape(y_label)}</text>"
    )
    places = [place(x, y) for x, y in points]
    line = places
    if smooth:
        parts += [f'<circle class="faint" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in places]
        line = [place(x, y) for (x, _), y in zip(points, moving_mean([y for _, y in points]), strict=True)]
    parts.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in line)}"/>')
    dots = line[-1:] if smooth else line
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in dots]
    return f'<svg class="chart" viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg>'


def moving_mean(values: list[float]) -> list[float]:
    """The mean of each value and its neighbours, as many on one side as on the other, fewer at the ends."""
    reach = round(SMOOTHING * len(values) / 2)
    means = []
    for index in range(len(values)):
        near = min(reach, index, len(values) - 1 - index)
        means.append(float(np.mean(values[index - near : index + near + 1])))
    return means


def _ticks(highest: float) -> list[float]:
    """Round numbers from 0 to about `highest`, three to seven of them."""
    power = 10 ** np.floor(np.log10(highest))
    step = next(power * factor for factor in (0.2, 0.5, 1, 2) if highest / (power * factor) <= 6)
    return [round(float(step * index), 10) for index in range(int(highest / step) + 1)]
