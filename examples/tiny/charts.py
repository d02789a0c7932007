"""Line charts as SVG."""

from html import escape

import numpy as np


def line_chart(points: list[tuple[float, float]], title: str, width: int = 460, height: int = 240) -> str:
    """An SVG line chart of `(x, y)` from zero upward, with round numbers on its axes."""
    left, right, top, bottom = 44, 12, 30, 28
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
        parts.append(f'<text x="{place(tick, 0)[0]:.1f}" y="{height - 8}" text-anchor="middle">{tick:g}</text>')
    places = [place(x, y) for x, y in points]
    parts.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>')
    parts.append(f'<circle cx="{places[-1][0]:.1f}" cy="{places[-1][1]:.1f}" r="3.5"/>')
    return f'<svg class="chart" viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg>'


def _ticks(highest: float) -> list[float]:
    """Round numbers from 0 to about `highest`, three to seven of them."""
    power = 10 ** np.floor(np.log10(highest))
    step = next(power * factor for factor in (0.2, 0.5, 1, 2) if highest / (power * factor) <= 6)
    return [round(float(step * index), 10) for index in range(int(highest / step) + 1)]
