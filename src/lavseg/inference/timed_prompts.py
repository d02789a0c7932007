"""Points, boxes and masks at seconds of a clip, as people name them: parsed, and as arguments of `segment_video`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..media import SAME_INSTANT, ClipReader

# What each kind looks like, and SAM2's labels of its points.
_FORMS = {"point": "SECONDS:X,Y", "negative": "SECONDS:X,Y", "box": "SECONDS:X0,Y0,X1,Y1", "mask": "SECONDS:FILE"}
_LABELS = {"point": [1], "negative": [0], "box": [2, 3], "mask": []}
_NO_POINT = -1


@dataclass(frozen=True)
class TimedPrompt:
    """What a user shows of the object at a time.

    kind: `point` on the object, `negative` for a point off it, `box` or `mask`.
    seconds: from the clip's first frame.
    places: points `(x, y)` in pixels of the clip, two for a box.
    file: of a mask, a picture of the clip's size that is black off the object.
    """

    kind: str
    seconds: float
    places: tuple[tuple[float, float], ...] = ()
    file: Path | None = None


def parse_prompts(given: Mapping[str, Sequence[str] | None]) -> list[TimedPrompt]:
    """Prompts from text such as `3.0:40,30`.

    Args:
        given: texts by kind, see `TimedPrompt`; None for none.

    Raises:
        ValueError: that names the first which is not of its form.
    """
    return [_parse(kind, text) for kind, texts in given.items() for text in texts or ()]


def _parse(kind: str, text: str) -> TimedPrompt:
    seconds, separator, rest = text.partition(":")
    try:
        time = float(seconds)
        numbers = () if kind == "mask" else tuple(map(float, rest.split(",")))
    except ValueError:
        time, numbers = math.nan, ()
    wanted = 2 * len(_LABELS[kind])
    if not separator or not rest or len(numbers) != wanted or not all(map(math.isfinite, (time, *numbers))):
        raise ValueError(f"--{kind}: {text!r} was given, accepted is {_FORMS[kind]}")
    places = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    return TimedPrompt(kind, time, places, Path(rest) if kind == "mask" else None)


def prompt_arguments(prompts: Sequence[TimedPrompt], clip: ClipReader, fps: float) -> dict[str, Any]:
    """Arguments of `segment_video` for prompts of one object; none without prompts.

    Each is put on the frame that is nearest in time of those the method looks at. A box is its two corners, as points
    that SAM2 labels 2 and 3.

    Args:
        prompts: at least one.
        clip: the clip.
        fps: the processor's rate.

    Raises:
        ValueError: that names the first prompt which does not lie in the clip, or whose file cannot be used.
    """
    if not prompts:
        return {}
    height, width = next(iter(clip.iter_frames(fps)))[1].shape[:2]
    frames = sorted({_frame_of(prompt, clip, fps) for prompt in prompts})
    points, masks = [[] for _ in frames], {}
    for prompt in prompts:
        place = frames.index(_frame_of(prompt, clip, fps))
        _check_places(prompt, width, height)
        points[place] += zip(prompt.places, _LABELS[prompt.kind], strict=True)
        if prompt.file is not None:
            if place in masks:
                raise ValueError(f"--mask: {prompt.file} is on the frame of another one; give one mask a frame")
            masks[place] = _read_mask(prompt.file, width, height)
    count = max(map(len, points))
    padded = [[*found, *[((0.0, 0.0), _NO_POINT)] * (count - len(found))] for found in points]
    arguments = {"prompt_frames": frames}
    if count:
        arguments["input_points"] = [[[[place for place, _ in found] for found in padded]]]
        arguments["input_labels"] = [[[[label for _, label in found] for found in padded]]]
    if masks:
        nothing = np.full((height, width), np.nan, np.float32)
        arguments["input_masks"] = np.stack([masks.get(place, nothing) for place in range(len(frames))])[None, None]
    return arguments


def _frame_of(prompt: TimedPrompt, clip: ClipReader, fps: float) -> int:
    """The number of the frame nearest in time; frame `i` is the one on screen as interval `i` ends."""
    seconds = clip.info.seconds
    if not 0 <= prompt.seconds <= seconds + SAME_INSTANT:
        raise ValueError(f"--{prompt.kind}: {prompt.seconds:g} seconds was given, {clip.path} lasts {seconds:.4g}")
    last = max(int(seconds * fps + 1e-3), 1) - 1
    return min(max(math.floor(prompt.seconds * fps + 0.5) - 1, 0), last)


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
            mask = np.asarray(image.convert("L")) > 0
    except (OSError, UnidentifiedImageError) as error:
        raise ValueError(f"--mask: {file} cannot be read as a picture") from error
    if mask.shape != (height, width):
        found = f"{mask.shape[1]} pixels wide and {mask.shape[0]} high"
        raise ValueError(f"--mask: {file} is {found}, the frames are {width} and {height}")
    if not mask.any():
        raise ValueError(f"--mask: {file} is black everywhere; the object is what is not black")
    return mask.astype(np.float32)
