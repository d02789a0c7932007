"""A keyboard and an accordion."""

import numpy as np

from .canvas import Canvas, Colour, box, ellipse, pick, points, shade

KEYBOARD_COLOURS = ((62, 66, 78), (40, 44, 54), (80, 60, 110), (45, 80, 110), (150, 50, 60))
ACCORDION_COLOURS = ((190, 36, 44), (40, 90, 160), (40, 130, 90), (60, 58, 66), (150, 60, 120))
IVORY, EBONY = (252, 250, 242), (28, 28, 34)


def keyboard(rng: np.random.Generator) -> Canvas:
    """An electric keyboard with white and black keys below a panel."""
    colour = pick(rng, KEYBOARD_COLOURS)
    canvas = Canvas(shade(colour, -0.7), rng.uniform(0.01, 0.014))
    count, deep = int(rng.integers(8, 13)), rng.uniform(0.36, 0.44)
    canvas.fill(colour, box(0.0, 0.0, 1.0, deep, 0.035))
    canvas.paint(shade(colour, 0.2), box(0.02, 0.015, 0.98, 0.035, 0.01))
    top = deep * 0.4
    _panel(canvas, rng, colour, top)
    left, right, low = 0.045, 0.955, deep - 0.03
    wide = (right - left) / count
    canvas.fill(IVORY, box(left, top, right, low))
    gaps = left + wide * np.arange(1, count)
    canvas.line((120, 120, 130), 0.008, *(points((x, top), (x, low)) for x in gaps))
    start = int(rng.integers(7))
    for i, x in enumerate(gaps, start):
        if i % 7 not in (0, 3):
            canvas.paint(EBONY, box(x - wide * 0.3, top, x + wide * 0.3, top + (low - top) * 0.6))
    depth = rng.uniform(0.04, 0.12)

    def seen_from_the_front(shape: np.ndarray) -> np.ndarray:
        x, y = shape.T
        return np.stack([(x - 0.5) * (1 + depth * (y / deep - 1)), y], axis=1)

    canvas.warp(seen_from_the_front)
    return canvas


def _panel(canvas: Canvas, rng: np.random.Generator, colour: Colour, top: float) -> None:
    middle = top * 0.56
    for x in (0.13, 0.87):
        canvas.paint(shade(colour, -0.45), box(x - 0.085, 0.055, x + 0.085, top - 0.03, 0.02))
        dots = [points((x - 0.06, y), (x + 0.06, y)) for y in (middle - 0.02, middle + 0.015)]
        canvas.line(shade(colour, 0.1), 0.008, *dots)
    canvas.paint(pick(rng, ((120, 220, 235), (150, 235, 150), (250, 190, 90))), box(0.4, 0.055, 0.6, top - 0.03, 0.012))
    for x in (0.27, 0.33, 0.67, 0.73):
        canvas.paint(pick(rng, ((240, 90, 80), (250, 210, 90), (235, 235, 240))), ellipse(x, middle, 0.02, 0.02))


def accordion(rng: np.random.Generator) -> Canvas:
    """An accordion with piano keys on the left, its bellows open and buttons on the right."""
    colour = pick(rng, ACCORDION_COLOURS)
    canvas = Canvas(shade(colour, -0.78), rng.uniform(0.012, 0.017))
    folds, fan = int(rng.integers(5, 8)), rng.uniform(0.06, 0.16)
    width = rng.uniform(0.4, 0.5)
    _bellows(canvas, folds, fan, width, shade(colour, -0.45))
    x = width / 2
    for side in (-1, 1):
        slant = np.array([[1.0, 0.0], [side * -fan / 0.7, 1.0]])
        outer = 0.25 if side < 0 else 0.2
        case = box(0.0, -0.36, outer, 0.36, 0.05) * (side, 1) + (side * x, 0)
        canvas.fill(colour, case @ slant)
        canvas.paint(shade(colour, 0.35), box(0.025, -0.32, 0.055, 0.32, 0.012) * (side, 1) @ slant + (side * x, 0))
        if side < 0:
            _piano_keys(canvas, x, outer, slant)
        else:
            for row in range(2):
                for y in np.linspace(-0.26, 0.26, 6):
                    center = points((x + 0.095 + 0.055 * row, y)) @ slant
                    canvas.paint(IVORY, ellipse(*center[0], 0.02, 0.02))
    return canvas


def _bellows(canvas: Canvas, folds: int, fan: float, width: float, colour: Colour) -> None:
    edges = np.linspace(-1, 1, 2 * folds + 1)
    rise = np.where(np.arange(len(edges)) % 2, 0.33, 0.29)
    top = np.stack([edges * (width / 2 + fan * 0.45), -rise], axis=1)
    low = np.stack([edges * (width / 2 - fan * 0.45), rise], axis=1)
    canvas.fill(colour, np.concatenate([top, low[::-1]]))
    for i in range(2 * folds):
        fold = np.concatenate([top[i : i + 2], low[i : i + 2][::-1]])
        canvas.paint(shade(colour, 0.55) if i % 2 else shade(colour, 0.1), fold)
    canvas.line(IVORY, 0.012, top, low)


def _piano_keys(canvas: Canvas, x: float, outer: float, slant: np.ndarray) -> None:
    left, right = -x - outer + 0.0, -x - outer + 0.14
    canvas.fill(IVORY, box(left - 0.03, -0.31, right, 0.31) @ slant)
    ys = np.linspace(-0.31, 0.31, 9)
    canvas.line((110, 110, 120), 0.009, *(points((left - 0.03, y), (right, y)) @ slant for y in ys[1:-1]))
    for i in (1, 2, 4, 5, 6):
        canvas.paint(EBONY, box(left + 0.06, ys[i] - 0.02, right, ys[i] + 0.02) @ slant)
