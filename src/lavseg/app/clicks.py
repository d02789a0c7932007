"""What a user clicks on frames of a clip: points and boxes, kept, drawn, and as arguments of `segment_video`."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from ..inference.prompted_clip import point_arrays

ON_OBJECT, OFF_OBJECT, CORNER = "on the object", "not on the object", "a corner of a box"
KINDS = (ON_OBJECT, OFF_OBJECT, CORNER)
# More are refused, as each is a token of the model.
MAX_CLICKS = 200
_POINT_COLORS = {ON_OBJECT: (0, 158, 115), OFF_OBJECT: (213, 94, 0)}
# SAM2's labels, of points and of the two corners of a box.
_POINT_LABELS, _CORNER_LABELS = {ON_OBJECT: 1, OFF_OBJECT: 0}, (2, 3)


class Click(NamedTuple):
    """A click on a frame, in pixels of the clip.

    thing: the number of the object it is about, that of its sentence.
    frame: counted at the rate at which the method looks at clips.
    kind: one of `KINDS`.
    """

    thing: int
    frame: int
    x: int
    y: int
    kind: str

    def beside(self, other: "Click") -> bool:
        """Whether both are corners of a box of one object on one frame."""
        return self.kind == other.kind == CORNER and self[:2] == other[:2]


def add_click(clicks: Sequence[Click], click: Click) -> list[Click]:
    """The clicks with a further one; a third corner begins another box in place of the one before.

    Raises:
        ValueError: there are `MAX_CLICKS` already.
    """
    if len(clicks) >= MAX_CLICKS:
        raise ValueError(f"{MAX_CLICKS} clicks are taken; remove them and begin again")
    if sum(click.beside(other) for other in clicks) == 2:
        clicks = [other for other in clicks if not click.beside(other)]
    return [*clicks, click]


def click_prompts(clicks: Sequence[Click], count: int) -> dict[str, Any]:
    """Clicks as arguments of `segment_video`; none where there are no clicks. Boxes with one corner are left out.

    Args:
        clicks: on any frames.
        count: the number of objects.

    Raises:
        ValueError: one is about an object that is not there.
    """
    found: dict[tuple[int, int], list[tuple[tuple[int, int], int]]] = defaultdict(list)
    for key, (begin, end) in _boxes(clicks).items():
        found[key] += zip((begin, end), _CORNER_LABELS, strict=True)
    for click in clicks:
        if click.kind != CORNER:
            found[click.thing, click.frame].append(((click.x, click.y), _POINT_LABELS[click.kind]))
    if not found:
        return {}
    last = max(thing for thing, _ in found)
    if last >= count:
        raise ValueError(f"Clicks show object {last}, there is no sentence for it; write one or remove the clicks")
    frames = sorted({frame for _, frame in found})
    return {**point_arrays(found, count, frames), "prompt_frames": frames}


def draw_clicks(picture: np.ndarray, clicks: Sequence[Click], colors: np.ndarray) -> np.ndarray:
    """A frame with the clicks on it.

    Args:
        picture: uint8 `[H, W, 3]`, RGB.
        clicks: on this frame.
        colors: RGB `[E, 3]` of the objects, for their boxes.
    """
    image = Image.fromarray(picture)
    draw, radius = ImageDraw.Draw(image), max(4, min(image.size) // 60)
    width = max(1, radius // 3)
    for (thing, _), (begin, end) in _boxes(clicks).items():
        draw.rectangle((begin, end), outline=tuple(colors[thing].tolist()), width=2 * width)
    for click in clicks:
        if click.kind == CORNER:
            x, y = click.x, click.y
            draw.rectangle((x - width, y - width, x + width, y + width), "white")
        else:
            draw.circle((click.x, click.y), radius, _POINT_COLORS[click.kind], "white", width)
    return np.asarray(image)


def _boxes(clicks: Sequence[Click]) -> dict[tuple[int, int], tuple[tuple[int, int], tuple[int, int]]]:
    """The whole boxes, by object and frame: upper left and lower right corner."""
    corners = defaultdict(list)
    for click in clicks:
        if click.kind == CORNER:
            corners[click.thing, click.frame].append((click.x, click.y))
    return {
        key: (tuple(np.min(places, 0).tolist()), tuple(np.max(places, 0).tolist()))
        for key, places in corners.items()
        if len(places) == 2
    }
