"""The demo's report: one HTML file with everything in it, readable without a network."""

import base64
import io
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
}


@dataclass(frozen=True)
class Example:
    """A sentence about a clip and what the model answered.

    Attributes:
        kind: a key of `KIND_TITLES`.
        text: the sentence.
        frames: uint8 `[T, H, W, 3]`.
        truth, predicted: bool `[T, H, W]`.
        waveform: float `[samples]`, the sound of these `T` frames.
    """

    kind: str
    text: str
    frames: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    waveform: np.ndarray


@dataclass(frozen=True)
class Video:
    """An overlay video and the sentences of its colours, `(text, [r, g, b])`."""

    path: Path
    sentences: list[tuple[str, list[int]]]


def write_report(path: Path, results: dict, history: list[dict], examples: list[Example], video: Video) -> None:
    """Write the page.

    Args:
        path: the file to write.
        results: what is in `report.json`.
        history: the Trainer's log, entries with `step` and `loss` or `eval_jaccard`.
        examples: shown in groups of their kind.
        video: shown in a player.
    """
    charts = [
        line_chart([(entry["step"], entry[name]) for entry in history if name in entry], title)
        for name, title in (("loss", "Training loss"), ("eval_jaccard", "J on validation clips"))
    ]
    page = Template((Path(__file__).parent / "report.html").read_text(encoding="utf-8"))
    steps = max(entry["step"] for entry in history)
    path.write_text(
        page.substitute(
            seconds=f"{results['seconds'] / 60:.1f}",
            scores=_score_table(results),
            ablations=_ablation_table(results),
            null=f"{results['null']['s']:.3f}",
            steps=steps,
            charts="".join(f"<figure>{chart}</figure>" for chart in charts),
            video=_data_uri("video/mp4", video.path.read_bytes()),
            legend="".join(f"<li>{_swatch(color)} {escape(text)}</li>" for text, color in video.sentences),
            examples="".join(_examples_of(kind, examples) for kind in KIND_TITLES),
        ),
        encoding="utf-8",
    )


def _score_table(results: dict) -> str:
    rows = {
        "seen": "Shipped model, seen shapes",
        "unseen": "Shipped model, unseen shapes",
        "untrained": "Its encoders with an untrained prompter, seen shapes",
        "trained_here": "Fresh prompter trained in this demo, seen shapes",
    }
    body = "".join(
        f"<tr><th>{title}</th>"
        + "".join(f"<td>{results[name][score]:.3f}</td>" for score in ("jaccard", "f_score", "j_and_f"))
        + f"<td>{_bar(results[name]['j_and_f'])}</td></tr>"
        for name, title in rows.items()
    )
    return f"<table><tr><th></th><td>J</td><td>F</td><td>J&amp;F</td><td></td></tr>{body}</table>"


def _ablation_table(results: dict) -> str:
    sound, words = results["needs_sound"], results["needs_words"]
    rows = (
        ("Sound is needed: all as it is", sound["j_and_f"]),
        ("the sound replaced by silence", sound["j_and_f_silent"]),
        ("Words are needed: all as it is", words["j_and_f"]),
        ("the sentence replaced by an empty one", words["j_and_f_blank"]),
    )
    body = "".join(f"<tr><th>{title}</th><td>{value:.3f}</td><td>{_bar(value)}</td></tr>" for title, value in rows)
    return f"<table><tr><th></th><td>J&amp;F</td><td></td></tr>{body}</table>"


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


def _examples_of(kind: str, examples: list[Example]) -> str:
    figures = [_figure(example) for example in examples if example.kind == kind]
    return f"<h3>{KIND_TITLES[kind]}</h3><div class='sheets'>{''.join(figures)}</div>" if figures else ""


def _figure(example: Example) -> str:
    shown = np.linspace(0, len(example.frames) - 1, SHOWN_FRAMES).round().astype(int)
    frames = example.frames[shown]
    marked = [overlay(frames, masks[shown], alpha=0.85) for masks in (example.truth, example.predicted)]
    sheet = contact_sheet([*frames, *marked[0], *marked[1]], columns=SHOWN_FRAMES)
    union = (example.truth | example.predicted).sum((1, 2))
    both = (example.truth & example.predicted).sum((1, 2))
    jaccard = np.where(union, both / np.maximum(union, 1), 1.0).mean()
    return (
        f'<figure><figcaption>“{escape(example.text)}” <span class="score">J {jaccard:.2f}</span></figcaption>'
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
