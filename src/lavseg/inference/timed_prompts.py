"""Points, boxes and masks at seconds of a clip, as people name them: parsed, and as arguments of `segment_video`."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..data.masks import LOSSY, mask_levels
from ..media import SAME_INSTANT, ClipReader
from .prompted_clip import point_arrays

# What each kind looks like, and SAM2's labels of its points.
_FORMS = {"point": "SECONDS:X,Y", "negative": "SECONDS:X,Y", "box": "SECONDS:X0,Y0,X1,Y1", "mask": "SECONDS:FILE"}
_LABELS = {"point": [1], "negative": [0], "box": [2, 3], "mask": []}
_OBJECT = re.compile(r"(\d+)@(.*)", re.DOTALL)


@dataclass(frozen=True)
class TimedPrompt:
    """What a user shows of an object at a time.

    kind: `point` on the object, `negative` for a point off it, `box` or `mask`.
    seconds: from the clip's first frame.
    places: points `(x, y)` in pixels of the clip, two for a box.
    file: of a mask, a picture of the clip's size, no JPEG, that is black or transparent off the object.
    number: which object it is, counted from 0 in the order of the texts; None where there is one.
    """

    kind: str
    seconds: float
    places: tuple[tuple[float, float], ...] = ()
    file: Path | None = None
    number: int | None = None


def parse_prompts(given: Mapping[str, Sequence[str] | None]) -> list[TimedPrompt]:
    """Prompts from text such as `3.0:40,30`, or `1@3.0:40,30` for the second object.

    Args:
        given: texts by kind, see `TimedPrompt`; None for none.

    Raises:
        ValueError: that names the first which is not of its form.
    """
    return [_parse(kind, text) for kind, texts in given.items() for text in texts or ()]


def _parse(kind: str, text: str) -> TimedPrompt:
    named = _OBJECT.fullmatch(text)
    number, shown = (int(named[1]), named[2]) if named else (None, text)
    seconds, separator, rest = shown.partition(":")
    try:
        time = float(seconds)
        numbers = () if kind == "mask" else tuple(map(float, rest.split(",")))
    except ValueError:
        time, numbers = math.nan, ()
    wanted = 2 * len(_LABELS[kind])
    if not separator or not rest or len(numbers) != wanted or not all(map(math.isfinite, (time, *numbers))):
        raise ValueError(
            f"--{kind}: {text!r} was given, accepted is {_FORMS[kind]}, or OBJECT@{_FORMS[kind]} with several texts"
        )
    places = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    return TimedPrompt(kind, time, places, Path(rest) if kind == "mask" else None, number)


def check_objects(prompts: Sequence[TimedPrompt], objects: int) -> None:
    """Refuse prompts that do not say which object they show, or name one that is not asked for.

    Args:
        prompts: what was given.
        objects: how many objects are asked for, one for each text.

    Raises:
        ValueError: that names the first one.
    """
    for prompt in prompts:
        form = _FORMS[prompt.kind]
        if prompt.number is None and objects > 1:
            raise ValueError(
                f"--{prompt.kind}: {objects} texts were given; say which object is shown, 0@{form} for that of the "
                f"first text to {objects - 1}@{form} for that of the last"
            )
        if (prompt.number or 0) >= objects:
            accepted = "0 alone, there is one object" if objects == 1 else f"0 to {objects - 1}, one for each text"
            raise ValueError(f"--{prompt.kind}: object {prompt.number} was given, accepted is {accepted}")


def prompt_arguments(prompts: Sequence[TimedPrompt], clip: ClipReader, fps: float, objects: int = 1) -> dict[str, Any]:
    """Arguments of `segment_video`; none without prompts.

    Each prompt is put on the frame that is nearest in time of those the method looks at. A box is its two corners, as
    points that SAM2 labels 2 and 3.

    Args:
        prompts: which `check_objects` lets pass.
        clip: the clip.
        fps: the processor's rate.
        objects: how many objects are asked for.

    Raises:
        ValueError: that names the first prompt which does not lie in the clip, or whose file cannot be used.
    """
    if not prompts:
        return {}
    height, width = next(iter(clip.iter_frames(fps)))[1].shape[:2]
    together: dict[tuple[int, int], list[TimedPrompt]] = {}
    for prompt in prompts:
        _check_places(prompt, width, height)
        together.setdefault((prompt.number or 0, _frame_of(prompt, clip, fps)), []).append(prompt)
    frames = sorted({frame for _, frame in together})
    given: dict[str, Any] = {"prompt_frames": frames, **point_arrays(_points(together), objects, frames)}
    if any(prompt.file for prompt in prompts):
        given["input_masks"] = np.full((1, objects, len(frames), height, width), np.nan, np.float32)
    for (number, frame), shown in together.items():
        _check_alone(shown)
        for prompt in shown:
            if prompt.file is not None:
                given["input_masks"][0, number, frames.index(frame)] = _read_mask(prompt.file, width, height)
    return given


def _points(together: Mapping[tuple[int, int], Sequence[TimedPrompt]]) -> dict[tuple[int, int], list]:
    """Places with their labels, of each object on each frame."""
    return {
        key: [pair for prompt in shown for pair in zip(prompt.places, _LABELS[prompt.kind], strict=True)]
        for key, shown in together.items()
    }


def described(prompt: TimedPrompt, clip: ClipReader, fps: float) -> dict[str, Any]:
    """A prompt as `result.json` holds it, `places` or `file` as given, and `frame`, the one it was put on."""
    shown = {"file": str(prompt.file)} if prompt.file else {"places": [list(place) for place in prompt.places]}
    return {"kind": prompt.kind, "seconds": prompt.seconds, "frame": _frame_of(prompt, clip, fps), **shown}


def _frame_of(prompt: TimedPrompt, clip: ClipReader, fps: float) -> int:
    """The number of the frame nearest in time; frame `i` is the one on screen as interval `i` ends.

    Raises:
        ValueError: when the time does not lie in the clip.
    """
    seconds = clip.info.seconds
    if not 0 <= prompt.seconds <= seconds + SAME_INSTANT:
        raise ValueError(f"--{prompt.kind}: {prompt.seconds:g} seconds was given, {clip.path} lasts {seconds:.4g}")
    last = max(int(seconds * fps + 1e-3), 1) - 1
    return min(max(math.floor(prompt.seconds * fps + 0.5) - 1, 0), last)


def _check_alone(shown: Sequence[TimedPrompt]) -> None:
    """Refuse a second box, or a second mask, of one object on one frame."""
    for kind in ("box", "mask"):
        found = [prompt for prompt in shown if prompt.kind == kind]
        if len(found) > 1:
            raise ValueError(
                f"--{kind}: those at {found[0].seconds:g} and {found[1].seconds:g} seconds go to one frame; give an "
                f"object one {kind} a frame"
            )


def _check_places(prompt: TimedPrompt, width: int, height: int) -> None:
    size = f"the frames are {width} pixels wide and {height} high"
    for x, y in prompt.places:
        if not (0 <= x <= width and 0 <= y <= height):
            raise ValueError(f"--{prompt.kind}: {x:g},{y:g} lies outside, {size}")
    if prompt.kind == "box":
        (left, top), (right, bottom) = prompt.places
        if left >= right or top >= bottom:
            raise ValueError(
                f"--box: {left:g},{top:g},{right:g},{bottom:g} was given; its first corner is above and left of the "
                "other"
            )


def _read_mask(file: Path, width: int, height: int) -> np.ndarray:
    """The mask in a file, float32 `[H, W]` of 0 and 1."""
    try:
        with Image.open(file) as image:
            if image.format in LOSSY:
                raise ValueError(f"--mask: {file} is {image.format}, which blurs edges; save it as PNG")
            mask = np.asarray(mask_levels(image)) > 0
    except (OSError, UnidentifiedImageError) as error:
        raise ValueError(f"--mask: {file} cannot be read as a picture") from error
    if mask.shape != (height, width):
        found = f"{mask.shape[1]} pixels wide and {mask.shape[0]} high"
        raise ValueError(f"--mask: {file} is {found}, the frames are {width} and {height}")
    if not mask.any():
        raise ValueError(f"--mask: {file} is black everywhere; the object is what is not black")
    return mask.astype(np.float32)
