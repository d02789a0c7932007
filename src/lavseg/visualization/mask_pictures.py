"""Masks drawn over frames, and as files."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

# Okabe and Ito, "Color Universal Design" (2008), without black: told apart by colour-blind readers.
OKABE_ITO = np.array(
    [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167)]
)
# Weight of the colour inside a mask.
FILL = 0.55
# Brightness outside the masks, of each brightness from black to white.
DIMMED = [round(24 + 0.4 * value) for value in range(256)]
RIM_COLOR = np.array((255, 255, 255))
# The contour is a pixel wide for so many of the frame's shorter side, and at least `MIN_WIDTH`.
PIXELS_PER_WIDTH, MIN_WIDTH = 200, 1.5
# Distances to an edge are kept in so many parts of a pixel.
PARTS, FAR = 16, 255
# Pixels of width below which pictures with text are enlarged.
MIN_SHOWN = 480


def palette(count: int) -> np.ndarray:
    """`count` RGB colours, uint8 `[count, 3]`: the seven of Okabe and Ito, then the same seven ever darker."""
    rounds, index = np.divmod(np.arange(count), len(OKABE_ITO))
    return (OKABE_ITO[index] * 0.6 ** rounds[:, None]).astype(np.uint8)


def overlay(frames: np.ndarray, masks: np.ndarray, colors: np.ndarray | None = None) -> np.ndarray:
    """Frames with masks drawn over them, as everywhere in this package.

    Outside the masks frames are grey and dim. Inside each one their brightness shines through its colour, which looks
    the same on anything, and around it lies a contour with a white rim, as wide as suits the size of the frame. Where
    masks overlap, stripes of their colours alternate.

    Args:
        frames: uint8 `[T, H, W, 3]`, RGB.
        masks: bool `[T, H, W]`, or `[E, T, H, W]` for several objects.
        colors: 0..255 RGB `[E, 3]`; by default `palette(E)`.

    Returns:
        uint8 `[T, H, W, 3]`.

    Raises:
        ValueError: shapes or types do not fit.
    """
    frames, masks = np.asarray(frames), np.asarray(masks)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames is {frames.dtype} {list(frames.shape)}; give uint8 [T, H, W, 3]")
    if masks.dtype != bool:
        raise ValueError(f"masks is {masks.dtype}; give booleans, for logits `masks > 0`")
    masks = masks[None] if masks.ndim == 3 else masks
    if masks.ndim != 4 or masks.shape[1:] != frames.shape[:-1]:
        expected = ", ".join(map(str, frames.shape[:-1]))
        raise ValueError(f"masks is {list(masks.shape)}; these frames take [{expected}] or [E, {expected}]")
    colors = palette(len(masks)) if colors is None else np.asarray(colors)
    if colors.shape != (len(masks), 3):
        raise ValueError(f"colors is {list(colors.shape)}; {len(masks)} objects take [{len(masks)}, 3]")
    if colors.dtype.kind not in "iuf" or not ((colors >= 0) & (colors <= 255)).all():
        raise ValueError("colors holds more than numbers from 0 to 255")
    drawn = np.empty_like(frames)
    for index, frame in enumerate(frames):
        drawn[index] = _draw(frame, masks[:, index], colors)
    return drawn


def enlarge(frame: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A frame, uint8 `[H, W, 3]`, and its masks, bool `[E, H, W]`, a whole number of times larger if text below them
    would be wider than they are.

    Raises:
        ValueError: shapes do not fit.
    """
    frame, masks = np.asarray(frame), np.asarray(masks)
    if frame.ndim != 3 or masks.ndim != 3 or masks.shape[1:] != frame.shape[:2]:
        raise ValueError(f"masks is {list(masks.shape)} for a frame of {list(frame.shape)}; give [E, H, W]")
    return resize(frame, masks, frame.shape[1] * -(-MIN_SHOWN // frame.shape[1]))


def resize(frame: np.ndarray, masks: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A frame, uint8 `[H, W, 3]`, of a width in pixels and the same proportions, and its masks of that size.

    Args:
        masks: bool `[E, h, w]` of any size.
    """
    size = (width, max(1, round(width * frame.shape[0] / frame.shape[1])))
    if frame.shape[:2] == masks.shape[1:] == size[::-1]:
        return frame, masks
    small = [Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BICUBIC) for mask in masks]
    resized = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
    return resized, np.array([np.asarray(mask) > 127 for mask in small]).reshape(len(masks), *size[::-1])


def save_mask(mask: np.ndarray, path: Path) -> None:
    """Write a mask, bool `[H, W]`, as an 8-bit image with 0 and 255."""
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)


class _Shape(NamedTuple):
    """A mask with a contour in the part of a frame, `box`, that both fit into.

    mask: bool, of the box's size.
    area: what mask and contour cover, of the box's size.
    places: rows and columns of the frame's pixels on or near the contour.
    contour, rim: opacities 0 to 1 of each of these.
    """

    box: tuple[slice, slice]
    mask: np.ndarray
    area: np.ndarray
    places: tuple[np.ndarray, np.ndarray]
    contour: np.ndarray
    rim: np.ndarray


def _draw(frame: np.ndarray, masks: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """uint8 `[H, W, 3]`."""
    width = max(MIN_WIDTH, min(frame.shape[:2]) / PIXELS_PER_WIDTH)
    grey = Image.fromarray(frame).convert("L")
    # Four bytes a pixel are copied as one number.
    drawn = np.array(grey.point(DIMMED).convert("RGBA"))
    shapes = [(_shape(mask, width), color) for mask, color in zip(masks, colors, strict=True) if mask.any()]
    covered, before = np.zeros(frame.shape[:2], np.uint8), np.zeros(frame.shape[:2], np.uint8)
    for shape, _ in shapes:
        _blend(drawn, shape.places, shape.rim, RIM_COLOR)
        covered[shape.box] += shape.area
    for shape, color in shapes:
        turn = _stripes(shape, covered[shape.box], before[shape.box], round(4 * width))
        before[shape.box] += shape.area
        pixels = drawn[shape.box].view(np.uint32)[..., 0]
        np.copyto(pixels, _tinted(grey, shape.box, color), where=shape.mask & turn)
        rows, columns = (places - part.start for places, part in zip(shape.places, shape.box, strict=True))
        _blend(drawn, shape.places, shape.contour * turn[rows, columns], color)
    return np.asarray(Image.fromarray(drawn).convert("RGB"))


def _shape(mask: np.ndarray, width: float) -> _Shape:
    """A mask that is not empty, and its contour of a width in pixels, half outside and half inside of the edge."""
    outer = width / 2 + max(1.5, width / 3)
    reach = int(np.ceil(outer + 0.5))
    rows = np.flatnonzero(mask.any(1))
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(0))
    box = tuple(
        slice(max(0, places[0] - reach), min(size, places[-1] + 1 + reach))
        for places, size in zip((rows, columns), mask.shape, strict=True)
    )
    mask = mask[box]
    inside = mask.copy()
    inside[1:] &= mask[:-1]
    inside[:-1] &= mask[1:]
    inside[:, 1:] &= mask[:, :-1]
    inside[:, :-1] &= mask[:, 1:]
    (rows, columns), distance = _near(mask & ~inside, reach)
    contour = np.clip(width / 2 + 0.5 - distance, 0, 1)
    area = mask.copy()
    area[rows, columns] |= contour > 0.5
    places = rows + box[0].start, columns + box[1].start
    return _Shape(box, mask, area, places, contour, np.clip(outer + 0.5 - distance, 0, 1))


def _near(edge: np.ndarray, reach: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Rows and columns of the pixels near an edge, bool `[H, W]`, and how far the nearest pixel of the edge is."""
    height, width = edge.shape
    padded = np.full((height + 2 * reach, width + 2 * reach), FAR, np.uint8)
    flat, edges = padded.reshape(-1), np.flatnonzero(np.pad(edge, reach))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    away = np.hypot(rows, columns)
    # The nearest come last and stay.
    for index in np.argsort(-away):
        if away[index] <= reach:
            flat[edges + rows[index] * padded.shape[1] + columns[index]] = round(away[index] * PARTS)
    inner = padded[reach:-reach, reach:-reach]
    places = np.nonzero(inner != FAR)
    return places, inner[places].astype(np.float32) / PARTS


def _stripes(shape: _Shape, covered: np.ndarray, before: np.ndarray, period: int) -> np.ndarray:
    """Where in its box it is this shape's turn, bool: everywhere, or in stripes where several cover a pixel.

    Args:
        covered: how many shapes cover each pixel of the box.
        before: how many of those that come before this one do.
        period: of the stripes, in pixels.
    """
    if covered.max() == 1:
        return np.ones_like(shape.mask)
    rows, columns = (np.arange(part.start, part.stop, dtype=np.uint16) for part in shape.box)
    stripe = (rows[:, None] + columns) // period
    return stripe % np.maximum(covered, 1) == before


def _tinted(grey: Image.Image, box: tuple[slice, slice], color: np.ndarray) -> np.ndarray:
    """A part of a grey image that shines through a colour, four bytes a pixel in a number."""
    rows, columns = box
    table = np.rint(np.arange(256) * (1 - FILL) + color[:, None] * FILL).astype(int)
    part = grey.crop((columns.start, rows.start, columns.stop, rows.stop)).convert("RGB")
    return np.asarray(part.point(table.ravel().tolist()).convert("RGBA")).view(np.uint32)[..., 0]


def _blend(picture: np.ndarray, places: tuple[np.ndarray, np.ndarray], opacity: np.ndarray, color: np.ndarray) -> None:
    """Lay a colour over some places of a picture, `[H, W, 4]`, which changes."""
    share = opacity[:, None]
    picture[*places, :3] = np.rint(picture[*places, :3] * (1 - share) + color.astype(np.float32) * share)
