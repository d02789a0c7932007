"""Clips with the answer of a model to each, and how a page shows them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image

from lavseg.data.synthetic.object_tables import ClipObject
from lavseg.visualization import OKABE_ITO, overlay

from .page import css_color, data_uri, swatch

SHOWN_FRAMES = 5
FRAME_WIDTH, GAP = 240, 6  # pixels; a page shows them smaller
# An object that is so much softer than the loudest has no height.
DECIBELS = 20
# Of a clip's objects, and of an answer that is not about one of them alone.
COLORS, ANSWER = OKABE_ITO[[5, 4, 2, 6]], OKABE_ITO[0]
HOW_TO_READ = (
    "From top to bottom: frames of the clip; the truth; what the model found; and, over the same seconds, when each "
    "object sounds and how loud. The pictures do not tell who plays."
)


@dataclass(frozen=True)
class Example:
    """A clip of `T` frames, what is to be found in it, and what the model answered.

    Attributes:
        kind: what the page groups it by.
        text: the sentence; None where what sounds is meant.
        frames: uint8 `[T, H, W, 3]`.
        objects: all `K` that the clip shows.
        truth: bool `[K, T, H, W]`, what is to be found of each of them.
        predicted: bool `[T, H, W]`.
        score: said beside the sentence.
        silent: bool `[T, H, W]`, the answer without the sound, if it is to be shown.
    """

    kind: str
    text: str | None
    frames: np.ndarray
    objects: Sequence[ClipObject]
    truth: np.ndarray
    predicted: np.ndarray
    score: str
    silent: np.ndarray | None = None


def examples_of(kind: str, examples: list[Example], title: str = "") -> str:
    """The examples of a kind, under a title if there is one."""
    heading = f"<h3>{title}</h3>" if title else ""
    return heading + "".join(_figure(example) for example in examples if example.kind == kind)


def object_names(objects: Sequence[ClipObject]) -> list[str]:
    """The category of each object; those of one category are told apart by where they are at first."""
    names = []
    for item in objects:
        twins = sorted(other.x for other in objects if other.category == item.category)
        places = {1: [""], 2: [" (left)", " (right)"]}.get(
            len(twins), [f" {number + 1}" for number in range(len(twins))]
        )
        names.append(item.category + places[twins.index(item.x)])
    return names


def _figure(example: Example) -> str:
    objects, meant = example.objects, example.truth.any((1, 2, 3))
    shown = np.linspace(0, len(example.frames), SHOWN_FRAMES, endpoint=False).astype(int)
    frames = example.frames[shown]
    colors = COLORS[: len(objects)]
    answer = (colors[meant.argmax()] if meant.sum() == 1 else ANSWER)[None]
    strips = {
        "the clip": frames,
        "the truth": overlay(frames, example.truth[:, shown], colors),
        "found": overlay(frames, example.predicted[shown], answer),
    }
    if example.silent is not None:
        strips["found in silence"] = overlay(frames, example.silent[shown], answer)
    cells = [f'<span>{name}</span><img alt="{name}" src="{_jpeg_uri(images)}">' for name, images in strips.items()]
    names = object_names(objects)
    loudest = max((item.level for item in objects if item.seconds.any()), default=1.0)
    for name, item, color in zip(names, objects, colors, strict=True):
        cells.append(f'<span class="object">{swatch(color)}{escape(name)}</span>{_lane(item, color, loudest)}')
    ticks = "".join(f"<i>{second} s</i>" for second in shown)
    sounding = ", ".join(name for name, item in zip(names, objects, strict=True) if item.seconds.any())
    heading = f"What sounds: {sounding}" if example.text is None else f"“{example.text}”"
    return (
        f'<figure class="example"><figcaption>{escape(heading)} '
        f'<span class="score">{escape(example.score)}</span></figcaption>'
        f'<div class="scroll"><div class="strips">{"".join(cells)}<span></span><div class="axis">{ticks}</div></div>'
        "</div></figure>"
    )


def _lane(item: ClipObject, color: np.ndarray, loudest: float) -> str:
    """When an object sounds and how loud beside the loudest, as an SVG over the clip's time."""
    seconds = np.flatnonzero(item.seconds)
    if not seconds.size:
        return '<div class="lane">silent</div>'
    height = max(0.15, 1 + 20 * np.log10(item.level / loudest) / DECIBELS)
    bars = "".join(
        f'<rect x="{second}.03" y="{1 - height:.3f}" width="0.94" height="{height:.3f}"/>' for second in seconds
    )
    return (
        f'<svg class="lane" viewBox="0 0 {len(item.seconds)} 1" preserveAspectRatio="none" role="img" '
        f'aria-label="from second {seconds[0]} to {seconds[-1] + 1}" fill="{css_color(color)}">{bars}</svg>'
    )


def _jpeg_uri(frames: np.ndarray) -> str:
    """Frames side by side."""
    height, step = round(FRAME_WIDTH * frames.shape[1] / frames.shape[2]), FRAME_WIDTH + GAP
    strip = Image.new("RGB", (len(frames) * step - GAP, height), "white")
    for index, frame in enumerate(frames):
        picture = Image.fromarray(frame).resize((FRAME_WIDTH, height), Image.Resampling.LANCZOS)
        strip.paste(picture, (index * step, 0))
    file = io.BytesIO()
    strip.save(file, "JPEG", quality=85)
    return data_uri("image/jpeg", file.getvalue())
