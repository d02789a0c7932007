"""A drum and a bell."""

import numpy as np

from .canvas import Canvas, Colour, arc, box, curve, ellipse, mirrored, pick, points, shade

DRUM_COLOURS = ((205, 48, 48), (45, 100, 185), (50, 150, 95), (225, 110, 50), (130, 75, 165))
BELL_COLOURS = ((240, 186, 50), (226, 160, 50), (248, 205, 90), (200, 130, 70))
RIBBONS = ((200, 45, 55), (50, 110, 180), (60, 150, 90))
CREAM, RIM, STICK, HANDLE = (248, 240, 220), (242, 205, 110), (222, 176, 116), (150, 84, 46)


def drum(rng: np.random.Generator) -> Canvas:
    """A snare drum with two sticks that lie crossed on its head."""
    colour = pick(rng, DRUM_COLOURS)
    canvas = Canvas(shade(colour, -0.78), rng.uniform(0.013, 0.019))
    rx, ry, deep = 0.44, rng.uniform(0.11, 0.15), rng.uniform(0.36, 0.5)
    lower = arc(0, deep, rx, ry, 0, np.pi)
    side = np.concatenate([points((-rx, 0), (rx, 0)), lower])
    canvas.fill(colour, side)
    light = np.concatenate([points((-rx * 0.75, 0), (-rx * 0.45, 0)), arc(0, deep, rx, ry, 2.04, 2.42)])
    canvas.paint(shade(colour, 0.3), light)
    xs = np.linspace(-rx * 0.98, rx * 0.98, 2 * int(rng.integers(3, 5)) + 1)
    edge = ry * np.sqrt(np.maximum(0, 1 - (xs / rx) ** 2))
    cord = np.stack([xs, np.where(np.arange(len(xs)) % 2, deep - 0.02, 0.06) + edge], axis=1)
    canvas.line(CREAM, 0.024, cord)
    for y, tall in ((deep - 0.02, 0.055), (0.0, 0.07)):
        band = np.concatenate([arc(0, y, rx * 1.04, ry, 0, np.pi), arc(0, y + tall, rx * 1.04, ry, np.pi, 0)])
        canvas.fill(RIM, band)
    canvas.fill(RIM, ellipse(0, 0, rx * 1.04, ry))
    canvas.paint(CREAM, ellipse(0, 0, rx * 0.94, ry * 0.84))
    canvas.paint(shade(CREAM, -0.08), ellipse(0.03, 0.015, rx * 0.75, ry * 0.6))
    lift, spread = rng.uniform(0.22, 0.36), rng.uniform(0.36, 0.48)
    for direction in (-1, 1):
        tip = (-direction * 0.14, 0.0)
        canvas.tube(STICK, 0.034, points(tip, (direction * spread, -lift)))
        canvas.fill(shade(STICK, 0.3), ellipse(*tip, 0.043, 0.036))
    return canvas


def bell(rng: np.random.Generator) -> Canvas:
    """A bell with its clapper, hung from a ring or with a handle and often a ribbon."""
    colour = pick(rng, BELL_COLOURS)
    canvas = Canvas(shade(colour, -0.75), rng.uniform(0.014, 0.02))
    wide = rng.uniform(0.92, 1.08)
    if rng.random() < 0.5:
        handle = points((0.0, -0.36), (0.055, -0.34), (0.06, -0.25), (0.04, -0.12), (0.045, 0.05))
        canvas.fill(HANDLE, mirrored(curve(handle)))
    else:
        canvas.tube(shade(colour, -0.2), 0.045, arc(0, -0.06, 0.075, 0.085, 0, 2 * np.pi))
    canvas.fill(shade(colour, -0.35), ellipse(rng.uniform(-0.07, 0.07), 0.745, 0.095, 0.095))
    waist = points((0.0, 0.0), (0.11, 0.02), (0.2, 0.13), (0.235, 0.32), (0.28, 0.48))
    lip = points((0.38, 0.6), (0.43, 0.67), (0.3, 0.715), (0.0, 0.73))
    canvas.fill(colour, mirrored(curve(np.concatenate([waist, lip]) * (wide, 1))))
    gleam = points((-0.12, 0.09), (-0.17, 0.2), (-0.19, 0.42), (-0.25, 0.53), (-0.15, 0.5), (-0.11, 0.3))
    canvas.paint(shade(colour, 0.5), curve(gleam, closed=True))
    shadow = points((0.13, 0.1), (0.19, 0.2), (0.22, 0.42), (0.3, 0.56), (0.2, 0.52), (0.16, 0.3))
    canvas.paint(shade(colour, -0.2), curve(shadow, closed=True))
    rings = points((-0.29, 0.5), (0.0, 0.545), (0.29, 0.5)), points((-0.38, 0.6), (0.0, 0.65), (0.38, 0.6))
    canvas.line(shade(colour, -0.4), 0.022, *(curve(ring * (wide, 1)) for ring in rings))
    if rng.random() < 0.45:
        _ribbon(canvas, pick(rng, RIBBONS))
    return canvas


def _ribbon(canvas: Canvas, colour: Colour) -> None:
    for side in (-1, 1):
        loop = points((0.0, 0.01), (0.1, -0.07), (0.2, -0.06), (0.2, 0.07), (0.1, 0.07)) * (side, 1)
        canvas.fill(colour, curve(loop, closed=True))
    canvas.fill(shade(colour, -0.25), box(-0.04, -0.04, 0.04, 0.05, 0.02))
