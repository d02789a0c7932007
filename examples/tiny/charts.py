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
    """An SVG line chart of `(x, y)`, x being steps, with round numbers on its axes.

    Both begin at zero; steps that begin late in a training begin with the first one.

    Args:
        points: in order of `x`.
        title: above the chart.
        width, height: of its view box.
        y_label: what `y` is.
        smooth: draw the points faintly and a moving mean of them as the line.
    """
    left, right, top, bottom = 52, 22, 32, 42
    last, highest = max(max(x for x, _ in points), 1), max(max(y for _, y in points), 0.1)
    first = points[0][0] if points[0][0] > last / 4 else 0
    x_ticks, y_ticks = [tick for tick in _ticks(last, max(last - first, 1)) if tick >= first], _ticks(highest, highest)
    span = max(highest, y_ticks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        share = (x - first) / max(last - first, 1)
        return left + share * (width - left - right), height - bottom - y / span * (height - top - bottom)

    parts = [f'<text x="{left}" y="16" class="title">{escape(title)}</text>']
    for tick in y_ticks:
        _, y = place(first, tick)
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
    """The mean of each value and its neighbours on both sides."""
    reach = round(SMOOTHING * len(values) / 2)
    return [float(np.mean(values[max(0, index - reach) : index + reach + 1])) for index in range(len(values))]


def _ticks(highest: float, span: float) -> list[float]:
    """Round numbers from 0 to about `highest`, three to seven of them in a `span`."""
    power = 10 ** np.floor(np.log10(span))
    step = next(power * factor for factor in (0.2, 0.5, 1, 2) if span / (power * factor) <= 6)
    return [round(float(step * index), 10) for index in range(int(highest / step) + 1)]
