"""A canvas for flat drawings with outlines: collects shapes first, then draws them antialiased at any size."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
SUPERSAMPLING = 4


def points(*pairs: tuple[float, float]) -> np.ndarray:
    """Points `(x, y)` as an array `[N, 2]`; y points down."""
    return np.array(pairs, dtype=np.float64)


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> np.ndarray:
    """The outline of an ellipse around (x, y), turned by `angle` radians, as `[N, 2]`."""
    return turned(_circle() * (rx, ry), angle) + points((x, y))


def arc(x: float, y: float, rx: float, ry: float, start: float, stop: float) -> np.ndarray:
    """A part of an ellipse from angle `start` to `stop` (radians, 0 to the right, growing clockwise) as `[N, 2]`."""
    angles = np.linspace(start, stop, 20)
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1)


def box(left: float, top: float, right: float, bottom: float, radius: float = 0.0) -> np.ndarray:
    """The outline of a rectangle with rounded corners as `[N, 2]`."""
    corners = points((right, bottom), (left, bottom), (left, top), (right, top))
    if radius <= 0:
        return corners
    inner = corners + radius * points((-1, -1), (1, -1), (1, 1), (-1, 1))
    return (inner[:, None] + radius * _quarters()).reshape(-1, 2)


def curve(controls: np.ndarray, closed: bool = False) -> np.ndarray:
    """A smooth curve (Catmull-Rom) through control points `[N, 2]`, eight points per section."""
    weights = _spline()
    if closed:
        padded = np.concatenate([controls[-1:], controls, controls[:2]])
    else:
        padded = np.concatenate([2 * controls[:1] - controls[1:2], controls, 2 * controls[-1:] - controls[-2:-1]])
    windows = np.stack([padded[i : len(padded) - 3 + i] for i in range(4)], axis=1)
    sections = np.einsum("wk,nkd->nwd", weights, windows).reshape(-1, 2)
    return sections if closed else np.concatenate([sections, controls[-1:]])


def turned(shape: np.ndarray, angle: float, around: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Points `[N, 2]` turned clockwise by `angle` radians around a point."""
    cos, sin = np.cos(angle), np.sin(angle)
    return (shape - around) @ np.array([[cos, sin], [-sin, cos]]) + around


def mirrored(half: np.ndarray) -> np.ndarray:
    """A closed outline that is symmetric around x = 0 from its right half `[N, 2]`, given from top to bottom."""
    return np.concatenate([half, half[::-1] * (-1, 1)])


def ribbon(centers: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """The outline of a band of varying width `[N]` along a line `[N, 2]`, as `[2 N, 2]`."""
    steps = np.gradient(centers, axis=0)
    normals = steps[:, ::-1] * (-1, 1) / np.linalg.norm(steps, axis=1, keepdims=True)
    sides = normals * widths[:, None] / 2
    return np.concatenate([centers + sides, (centers - sides)[::-1]])


def shade(colour: Colour, amount: float) -> Colour:
    """The colour mixed with white by `amount` above 0, or with black by `-amount` below 0."""
    goal = 255 if amount > 0 else 0
    return tuple(round(value + (goal - value) * abs(amount)) for value in colour)


def pick(rng: np.random.Generator, colours: Sequence[Colour]) -> Colour:
    """One of the colours, a little lighter or darker and a little off in each channel."""
    near = rng.normal(np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.9, 1.08), 4.0)
    return tuple(int(value) for value in np.clip(near, 4, 251))


class Canvas:
    """Shapes in their order from back to front; their unit is free, `picture` scales them.

    Args:
        outline: colour of all outlines.
        weight: width of the outlines outside the shapes, in the unit of the shapes.
    """

    def __init__(self, outline: Colour, weight: float) -> None:
        self.outline, self.weight = outline, weight
        self._marks: list[tuple[np.ndarray, Colour, float | None]] = []

    def fill(self, colour: Colour, *shapes: np.ndarray) -> None:
        """Closed shapes with an outline around all of them together."""
        for shape in shapes:
            self._marks.append((np.concatenate([shape, shape[:2]]), self.outline, 2 * self.weight))
        self.paint(colour, *shapes)

    def paint(self, colour: Colour, *shapes: np.ndarray) -> None:
        """Closed shapes without an outline."""
        self._marks.extend((shape, colour, None) for shape in shapes)

    def line(self, colour: Colour, width: float, *lines: np.ndarray) -> None:
        """Lines with round ends, without an outline."""
        self._marks.extend((line, colour, width) for line in lines)

    def tube(self, colour: Colour, width: float, *lines: np.ndarray) -> None:
        """Lines with round ends and an outline around all of them together."""
        self.line(self.outline, width + 2 * self.weight, *lines)
        self.line(colour, width, *lines)

    def warp(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Move the points `[N, 2]` of everything drawn so far."""
        self._marks = [(change(shape), colour, width) for shape, colour, width in self._marks]

    def picture(self, size: int) -> np.ndarray:
        """All shapes as uint8 RGBA `[h, w, 4]` with straight alpha, cropped to them, the longer side `size` pixels."""
        low = np.min([shape.min(axis=0) - (width or 0) / 2 for shape, _, width in self._marks], axis=0)
        high = np.max([shape.max(axis=0) + (width or 0) / 2 for shape, _, width in self._marks], axis=0)
        scale = (size * SUPERSAMPLING - 1) / (high - low).max()
        width, height = np.maximum(1, np.ceil((high - low) * scale / SUPERSAMPLING - 0.3)).astype(int)
        margin = (np.array([width, height]) * SUPERSAMPLING - 1 - (high - low) * scale) / 2
        # Premultiplied, or what is transparent would darken the edges.
        image = Image.new("RGBa", (width * SUPERSAMPLING, height * SUPERSAMPLING))
        draw = ImageDraw.Draw(image)
        for shape, colour, breadth in self._marks:
            _draw(draw, (shape - low) * scale + margin, (*colour, 255), breadth and breadth * scale)
        pixels = np.array(image.reduce(SUPERSAMPLING).convert("RGBA"))
        pixels[pixels[..., 3] == 0] = (*self.outline, 0)
        return pixels


def _draw(draw: ImageDraw.ImageDraw, shape: np.ndarray, ink: tuple[int, ...], width: float | None) -> None:
    """Draw one shape or line in pixels."""
    if width is None:
        draw.polygon(shape.ravel().tolist(), fill=ink)
        return
    draw.line(shape.ravel().tolist(), fill=ink, width=max(1, round(width)))
    if width < 3:
        return
    steps = np.diff(shape, axis=0)
    turns = np.diff(np.arctan2(steps[:, 1], steps[:, 0]))
    radius = width / 2 - 1
    sharp = np.cos(turns) < np.cos(min(1.0, 1.5 / radius))  # the wedge left open is wider than a pixel or two
    for x, y in shape[np.concatenate([[True], sharp, [True]])].tolist():
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)


@lru_cache(maxsize=1)
def _circle() -> np.ndarray:
    angles = np.arange(40) * (2 * np.pi / 40)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@lru_cache(maxsize=1)
def _quarters() -> np.ndarray:
    """Four quarters `[4, 5, 2]` of the unit circle, both ends of each included."""
    angles = (np.arange(4)[:, None] + np.arange(5) / 4) * (np.pi / 2)
    return np.stack([np.cos(angles), np.sin(angles)], axis=2)


@lru_cache(maxsize=1)
def _spline() -> np.ndarray:
    """Weights `[8, 4]` of the four control points around a section."""
    t = (np.arange(8) / 8)[:, None] ** np.arange(4)
    return t @ np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
