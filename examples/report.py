"""Reports as one HTML file with everything in it, readable without a network; and that of the SAM2-LOVE demo."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

import numpy as np
from PIL import Image

from lavseg.visualization import contact_sheet, overlay

SHOWN_FRAMES = 5
KIND_TITLES = {
    "words": "Words decide",
    "sound": "Sound decides",
    "both": "Words and sound decide together",
    "unseen": "Shapes that training never showed",
    "null": "Nothing fits: the right answer is empty",
    "single": "One object sounds",
    "multi": "Several objects sound, each for some seconds",
}
SCORES_NOTE = (
    "J is the overlap of mask and truth, F the agreement of their pixels, each a mean over all frames (protocol "
    "<code>frame</code>): 1 is perfect."
)


@dataclass(frozen=True)
class Example:
    """A clip, what is to be found in it, and what the model answered.

    Attributes:
        kind: a key of `KIND_TITLES`.
        text: the sentence; None where what sounds is meant.
        frames: uint8 `[T, H, W, 3]`.
        truth, predicted: bool `[T, H, W]`.
        waveform: float `[samples]`, the sound of these `T` frames.
        silent: bool `[T, H, W]`, the answer without the sound, if it is to be shown.
    """

    kind: str
    text: str | None
    frames: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    waveform: np.ndarray
    silent: np.ndarray | None = None


@dataclass(frozen=True)
class Video:
    """An overlay video and what its colours mean, `(text, [r, g, b])`."""

    path: Path
    sentences: list[tuple[str, list[int]]]


def write_report(path: Path, results: dict, history: list[dict], examples: list[Example], video: Video) -> None:
    """Write the page.

    Args:
        path: the file to write.
        results: what is in `report.json`.
        history: entries with `step` and one of `pointing_loss`, `loss` and `eval_jaccard`.
        examples: shown in groups of their kind.
        video: shown in a player.
    """
    titles = {
        "pointing_loss": "Loss while learning to point",
        "loss": "Training loss of SAM2-LOVE",
        "eval_jaccard": "J on validation clips",
    }
    steps = max(entry["step"] for entry in history)
    kinds = [kind for kind in KIND_TITLES if any(example.kind == kind for example in examples)]
    sections = [
        section(
            "Scores",
            SCORES_NOTE,
            _score_table(results) + '<p style="margin:1rem 0 0">Where the sentence fits nothing, S is '
            f"{results['null']['s']:.3f}; 0 is perfect, because nothing is to be drawn.</p>",
        ),
        section(
            "Does it listen, does it read?",
            "Sentences that cannot be resolved without the sound, or without the words, scored again when these are "
            "taken away.",
            _ablation_table(results),
        ),
        section(
            "A fresh model in training",
            "A new prompter on the shipped encoders and SAM2 host. Its token first learns to point at the object "
            f"meant, then SAM2-LOVE trains; {steps} steps in all.",
            training_charts(history, titles),
        ),
        video_section(video),
        section(
            "Examples",
            "Five frames of ten. Top: the clip; middle: the truth in orange; bottom: what the model found; below them "
            "the loudness of the sound over the clip.",
            "".join(examples_of(kind, examples) for kind in kinds),
        ),
    ]
    intro = (
        "Which object do the sentence, the sound and the picture mean together? SAM2-LOVE on synthetic clips that were "
        f"made for this report in {results['seconds'] / 60:.1f} minutes."
    )
    write_page(path, "demo report", intro, sections)


def write_page(path: Path, title: str, intro: str, sections: list[str]) -> None:
    """Write a page of `sections`, see `section`, after an introduction."""
    page = Template((Path(__file__).parent / "report.html").read_text(encoding="utf-8"))
    path.write_text(page.substitute(title=title, intro=intro, sections="\n".join(sections)), encoding="utf-8")


def section(title: str, note: str, body: str) -> str:
    """A part of a page: HTML under a title and a note on how to read it."""
    return f"<section><h2>{title}</h2><p>{note}</p>{body}</section>"


def bar_table(columns: Sequence[str], rows: dict[str, Sequence[float]]) -> str:
    """A table of scores from 0 to 1, a row for each title, with a bar as long as the last one."""
    head = "".join(f"<td>{column}</td>" for column in columns)
    body = "".join(
        f"<tr><th>{title}</th>"
        + "".join(f"<td>{value:.3f}</td>" for value in values)
        + f"<td>{_bar(values[-1])}</td></tr>"
        for title, values in rows.items()
    )
    return f'<table class="bars"><tr><th></th>{head}<td></td></tr>{body}</table>'


def training_charts(history: list[dict], titles: dict[str, str]) -> str:
    """A line chart over the steps for each of the values named in `titles`; `history` is as the Trainer's log."""
    charts = [
        line_chart([(entry["step"], entry[name]) for entry in history if name in entry], title)
        for name, title in titles.items()
    ]
    return f'<div class="charts">{"".join(f"<figure>{chart}</figure>" for chart in charts)}</div>'


def video_section(video: Video) -> str:
    """A player, and what the colours mean."""
    source = _data_uri("video/mp4", video.path.read_bytes())
    legend = "".join(f"<li>{_swatch(color)} {escape(text)}</li>" for text, color in video.sentences)
    return section(
        "A video file, segmented",
        "What <code>lavseg segment</code> writes: one frame a second with the clip's sound.",
        f'<div class="player"><video controls loop src="{source}"></video><ul>{legend}</ul></div>',
    )


def _score_table(results: dict) -> str:
    rows = {
        "seen": "Shipped model, seen shapes",
        "unseen": "Shipped model, unseen shapes",
        "untrained": "Its encoders with an untrained prompter, seen shapes",
        "trained_here": "Fresh prompter trained in this demo, seen shapes",
    }
    names = ("jaccard", "f_score", "j_and_f")
    scores = {title: [results[name][score] for score in names] for name, title in rows.items()}
    return bar_table(("J", "F", "J&amp;F"), scores)


def _ablation_table(results: dict) -> str:
    sound, words = results["needs_sound"], results["needs_words"]
    rows = {
        "Sound is needed: all as it is": [sound["j_and_f"]],
        "the sound replaced by silence": [sound["j_and_f_silent"]],
        "Words are needed: all as it is": [words["j_and_f"]],
        "the sentence replaced by an empty one": [words["j_and_f_blank"]],
    }
    return bar_table(["J&amp;F"], rows)


def _bar(value: float) -> str:
    return f'<div class="bar"><div style="width:{100 * value:.1f}%"></div></div>'


def _swatch(color: list[int]) -> str:
    return f'<span class="swatch" style="background:rgb({",".join(map(str, color))})"></span>'


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


def examples_of(kind: str, examples: list[Example]) -> str:
    """The examples of a kind, under its title."""
    figures = [_figure(example) for example in examples if example.kind == kind]
    return f"<h3>{KIND_TITLES[kind]}</h3><div class='sheets'>{''.join(figures)}</div>"


def _figure(example: Example) -> str:
    shown = np.linspace(0, len(example.frames) - 1, SHOWN_FRAMES).round().astype(int)
    frames = example.frames[shown]
    answers = [example.truth, example.predicted, *([] if example.silent is None else [example.silent])]
    marked = [frame for masks in answers for frame in overlay(frames, masks[shown], alpha=0.85)]
    sheet = contact_sheet([*frames, *marked], columns=SHOWN_FRAMES)
    union = (example.truth | example.predicted).sum((1, 2))
    both = (example.truth & example.predicted).sum((1, 2))
    jaccard = np.where(union, both / np.maximum(union, 1), 1.0).mean()
    caption = "What sounds" if example.text is None else f"“{escape(example.text)}”"
    return (
        f'<figure><figcaption>{caption} <span class="score">J {jaccard:.2f}</span></figcaption>'
        f'<img alt="frames, truth and prediction" src="{_jpeg_uri(sheet)}">{_sound_strip(example)}</figure>'
    )


def _sound_strip(example: Example) -> str:
    """Loudness over time, as an SVG as wide as its figure."""
    parts = 200
    loudness = np.array([np.abs(part).max(initial=0) for part in np.array_split(example.waveform, parts)])
    bars = "".join(
        f'<rect x="{index}" y="{10 - 10 * value:.2f}" width="0.8" height="{max(20 * value, 0.4):.2f}"/>'
        for index, value in enumerate(loudness)
    )
    return f'<svg class="sound" viewBox="0 0 {parts} 20" preserveAspectRatio="none" role="img">{bars}</svg>'


def _jpeg_uri(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return _data_uri("image/jpeg", file.getvalue())


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
