"""A car."""

import numpy as np

from .canvas import Canvas, Colour, box, curve, ellipse, pick, points, shade

CAR_COLOURS = ((210, 45, 45), (40, 105, 190), (245, 190, 50), (60, 155, 105), (235, 120, 50), (232, 232, 228))
GLASS, TYRE, CHROME = (178, 222, 240), (38, 38, 44), (210, 214, 220)


def car(rng: np.random.Generator) -> Canvas:
    """A car in side view that faces right: a saloon, a round small car or an estate car."""
    colour = pick(rng, CAR_COLOURS)
    canvas = Canvas(shade(colour, -0.78), rng.uniform(0.013, 0.018))
    body = (_saloon, _small_car, _estate)[rng.integers(3)]
    body(canvas, colour, rng.uniform(-0.23, -0.17))
    canvas.line(shade(colour, -0.5), 0.011, points((0.41, 0.05), (0.41, 0.25)))
    canvas.paint(shade(colour, -0.25), box(0.02, 0.215, 0.98, 0.245))
    canvas.tube(CHROME, 0.014, points((0.45, 0.095), (0.5, 0.095)))
    canvas.fill((255, 240, 170), ellipse(0.95, 0.145, 0.03, 0.035))
    canvas.fill((220, 60, 50), box(0.005, 0.11, 0.045, 0.165, 0.01))
    radius = rng.uniform(0.105, 0.125)
    for x in (0.22, 0.78):
        canvas.fill(TYRE, ellipse(x, 0.27, radius, radius))
        canvas.paint(CHROME, ellipse(x, 0.27, radius * 0.55, radius * 0.55))
        canvas.paint(TYRE, ellipse(x, 0.27, radius * 0.18, radius * 0.18))
    return canvas


def _saloon(canvas: Canvas, colour: Colour, roof: float) -> None:
    hull = points((0.0, 0.28), (0.01, 0.1), (0.06, 0.045), (0.77, 0.04), (0.94, 0.075), (0.99, 0.13), (1.0, 0.28))
    canvas.fill(colour, points((0.13, 0.06), (0.25, roof), (0.58, roof), (0.76, 0.06)), hull)
    _windows(canvas, roof + 0.04, (0.2, 0.275), (0.565, 0.685))


def _small_car(canvas: Canvas, colour: Colour, roof: float) -> None:
    dome = points((0.0, 0.28), (0.04, 0.1), (0.15, -0.1), (0.29, roof), (0.45, roof), (0.61, -0.1), (0.7, 0.02))
    front = points((0.86, 0.04), (0.97, 0.13), (1.0, 0.28))
    canvas.fill(colour, np.concatenate([curve(np.concatenate([dome, front])), points((0.0, 0.28))]))
    back = curve(points((0.14, 0.02), (0.19, -0.07), (0.29, roof + 0.05), (0.375, roof + 0.035)))
    front = curve(points((0.43, roof + 0.035), (0.47, roof + 0.05), (0.57, -0.06), (0.62, 0.02)))
    canvas.paint(GLASS, np.concatenate([back, points((0.375, 0.02))]), np.concatenate([front, points((0.43, 0.02))]))


def _estate(canvas: Canvas, colour: Colour, roof: float) -> None:
    hull = points((0.0, 0.28), (0.0, 0.06), (0.72, 0.03), (0.93, 0.075), (0.985, 0.13), (1.0, 0.28))
    canvas.fill(colour, points((0.0, 0.06), (0.05, roof), (0.6, roof), (0.76, 0.06)), hull)
    canvas.tube(CHROME, 0.012, points((0.1, roof - 0.025), (0.52, roof - 0.025)))
    _windows(canvas, roof + 0.04, (0.06, 0.085), (0.585, 0.69))


def _windows(canvas: Canvas, top: float, back: tuple[float, float], front: tuple[float, float]) -> None:
    canvas.paint(GLASS, points((back[0], 0.035), (back[1], top), (0.39, top), (0.39, 0.035)))
    canvas.paint(GLASS, points((0.43, 0.035), (0.43, top), (front[0], top), (front[1], 0.035)))
    canvas.line(shade(GLASS, 0.7), 0.014, points((0.53, top + 0.04), (0.49, 0.01)))
