"""Clips with the answer of a model to each, and how a page shows them."""

import io
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image
from tiny.scores import predict, silencer

from lavseg import ClipCollator
from lavseg.data import row_masks
from lavseg.media import read_audio
from lavseg.modeling.base import AudioVisualPreTrainedModel
from lavseg.visualization import contact_sheet, overlay

from .page import data_uri

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


def make_example(
    model: AudioVisualPreTrainedModel, collator: ClipCollator, kind: str, row: dict, in_silence: bool = False
) -> Example:
    """What the model answers to one row of a data set, and also without its sound if it is to be shown."""
    frames = np.stack([np.asarray(frame.convert("RGB")) for frame in row["frames"]])
    silent = predict(model, collator, row, silencer(collator.processor)) if in_silence else None
    waveform, _ = read_audio(row["audio"]["path"])
    return Example(
        kind=kind,
        text=None if row["text"] is None else row["text"].strip(),
        frames=frames,
        truth=row_masks(row).astype(bool),
        predicted=predict(model, collator, row),
        waveform=waveform.mean(0),
        silent=silent,
    )


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
    return data_uri("image/jpeg", file.getvalue())
