"""Two scores of each method as bars, as SVG."""

from collections.abc import Iterable
from html import escape

LEFT, TOP, WIDTH, BAR, GAP = 100, 34, 420, 16, 14
_STYLE = "<style>text{font:12px sans-serif;fill:#66708a}.first{fill:#0072b2}.second{fill:#e69f00}</style>"
_CLASSES = ("first", "second")


def bar_plot(scores: dict[str, list[float]], titles: Iterable[str]) -> str:
    """A plot with two bars from 0 to 1 for each method, which `titles` name."""
    parts = [_STYLE]
    for number, (name, title) in enumerate(zip(_CLASSES, titles, strict=True)):
        x = LEFT + 110 * number
        parts.append(f'<rect class="{name}" x="{x}" y="8" width="12" height="12"/>')
        parts.append(f'<text x="{x + 18}" y="18">{escape(title)}</text>')
    for index, (method, values) in enumerate(scores.items()):
        y = TOP + index * (2 * BAR + GAP)
        parts.append(f'<text x="{LEFT - 8}" y="{y + BAR + 4}" text-anchor="end">{escape(method)}</text>')
        for number, (name, value) in enumerate(zip(_CLASSES, values, strict=True)):
            place, length = y + number * BAR, f"{value * WIDTH:.1f}"
            parts.append(f'<rect class="{name}" x="{LEFT}" y="{place}" width="{length}" height="{BAR - 2}"/>')
            parts.append(f'<text x="{LEFT + value * WIDTH + 6:.1f}" y="{place + BAR - 4}">{value:.3f}</text>')
    size = f'viewBox="0 0 {LEFT + WIDTH + 60} {TOP + len(scores) * (2 * BAR + GAP)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">{"".join(parts)}</svg>'
