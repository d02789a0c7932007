"""Reports as one HTML file with everything in it, readable without a network."""

import base64
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import NamedTuple

from tiny.charts import line_chart

SCORES_NOTE = (
    "J is the overlap of mask and truth, F the agreement of their pixels, each a mean over all frames (protocol "
    "<code>frame</code>): 1 is perfect."
)


class Curve(NamedTuple):
    """A value of a training's log and how its chart is titled; a noisy one is drawn smoothed."""

    name: str
    title: str
    y_label: str
    noisy: bool = False


def write_page(path: Path, title: str, intro: str, sections: list[str]) -> None:
    """Write a page of `sections`, see `section`, after an introduction."""
    page = Template((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
    path.write_text(page.substitute(title=title, intro=intro, sections="\n".join(sections)), encoding="utf-8")


def section(title: str, note: str, body: str) -> str:
    """A part of a page: HTML under a title and a note on how to read it."""
    return f"<section><h2>{title}</h2><p>{note}</p>{body}</section>"


def bar_table(columns: Sequence[str], rows: dict[str, Sequence[float]]) -> str:
    """A table of scores from 0 to 1, a row for each title, with a bar as long as the last one."""
    head = "".join(f"<td>{column}</td>" for column in columns)
    body = "".join(
        f"<tr><th>{title}</th>"
        + "".join(f"<td>{value:.2f}</td>" for value in values)
        + f"<td>{_bar(values[-1])}</td></tr>"
        for title, values in rows.items()
    )
    return f'<table class="bars"><tr><th></th>{head}<td></td></tr>{body}</table>'


def training_charts(history: list[dict], curves: Sequence[Curve]) -> str:
    """A line chart over the steps for each of the curves; `history` is as the Trainer's log."""
    charts = [
        line_chart(
            [(entry["step"], entry[curve.name]) for entry in history if curve.name in entry],
            curve.title,
            y_label=curve.y_label,
            smooth=curve.noisy,
        )
        for curve in curves
    ]
    return f'<div class="charts">{"".join(f"<figure>{chart}</figure>" for chart in charts)}</div>'


def swatch(color: Sequence[int]) -> str:
    """A small square of an RGB colour."""
    return f'<span class="swatch" style="background:{css_color(color)}"></span>'


def css_color(color: Sequence[int]) -> str:
    return f"rgb({','.join(map(str, color))})"


def _bar(value: float) -> str:
    return f'<div class="bar"><div style="width:{100 * value:.1f}%"></div></div>'


def data_uri(kind: str, content: bytes) -> str:
    """A file of a media type as a URL that holds all of it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
