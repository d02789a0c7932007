"""A guitar and a violin."""

import numpy as np

from .canvas import Canvas, Colour, arc, box, curve, ellipse, mirrored, pick, points, shade, turned

GUITAR_WOODS = ((222, 150, 70), (200, 105, 45), (235, 185, 105), (160, 75, 40), (190, 60, 45))
ELECTRIC_COLOURS = ((205, 40, 45), (40, 110, 190), (60, 160, 120), (240, 190, 60), (225, 120, 50), (240, 235, 220))
VIOLIN_WOODS = ((196, 92, 36), (176, 70, 34), (214, 116, 48), (160, 60, 36))
NECK, DARK_WOOD, CREAM = (92, 56, 36), (58, 36, 28), (245, 232, 205)


def guitar(rng: np.random.Generator) -> Canvas:
    """An acoustic guitar, or every third time an electric one, upright."""
    electric = rng.random() < 0.33
    colour = pick(rng, ELECTRIC_COLOURS if electric else GUITAR_WOODS)
    canvas = Canvas(shade(colour, -0.75), rng.uniform(0.012, 0.017))
    top = rng.uniform(-0.02, 0.05)
    (_electric_body if electric else _acoustic_body)(canvas, rng, colour)
    end = 0.58 if electric else 0.54
    neck = points((-0.034, top + 0.1), (0.034, top + 0.1), (0.04, end), (-0.04, end))
    canvas.fill(NECK, neck)
    _frets(canvas, top + 0.14, end - 0.02)
    _headstock(canvas, rng, top, colour if electric else NECK)
    low = 0.84 if electric else 0.82
    strings = [points((x, top + 0.1), (1.2 * x, low)) for x in (-0.019, -0.006, 0.007, 0.02)]
    canvas.line((240, 236, 225), 0.0045, *strings)
    return canvas


def _acoustic_body(canvas: Canvas, rng: np.random.Generator, colour: Colour) -> None:
    wide, waist = rng.uniform(0.93, 1.1), rng.uniform(0.125, 0.145)
    half = points((0.0, 0.455), (0.09, 0.457), (0.165, 0.53), (waist, 0.655), (0.215, 0.8), (0.14, 0.965), (0.0, 0.99))
    body = mirrored(curve(half * (wide, 1)))
    canvas.fill(shade(colour, -0.3), body)
    canvas.paint(colour, (body - (0, 0.74)) * (0.9, 0.93) + (0, 0.735))
    canvas.paint(shade(colour, 0.25), ellipse(-0.1 * wide, 0.8, 0.05, 0.11, 0.3))
    if rng.random() < 0.5:
        canvas.paint(shade(colour, -0.6), ellipse(0.085, 0.69, 0.035, 0.075, -0.5))
    canvas.paint(CREAM, ellipse(0, 0.625, 0.082, 0.082))
    canvas.paint(shade(colour, -0.8), ellipse(0, 0.625, 0.066, 0.066))
    canvas.paint(DARK_WOOD, box(-0.09, 0.81, 0.09, 0.845, 0.012))


def _electric_body(canvas: Canvas, rng: np.random.Generator, colour: Colour) -> None:
    horn = rng.uniform(0.4, 0.47)
    outline = points(
        *((-0.05, 0.56), (-0.1, 0.53), (-0.15, horn - 0.02), (-0.2, horn + 0.05), (-0.17, 0.66), (-0.225, 0.8)),
        *((-0.17, 0.95), (0.0, 0.98), (0.19, 0.95), (0.235, 0.8), (0.16, 0.67), (0.19, 0.55), (0.15, 0.48)),
        *((0.1, 0.55), (0.05, 0.57)),
    )
    body = curve(outline, closed=True)
    canvas.fill(shade(colour, -0.3), body)
    canvas.paint(colour, (body - (0, 0.75)) * (0.9, 0.92) + (0, 0.742))
    guard = points((-0.13, 0.6), (0.08, 0.58), (0.13, 0.7), (0.15, 0.85), (0.06, 0.82), (-0.06, 0.78), (-0.12, 0.7))
    pale = sum(colour) > 600
    canvas.paint((60, 50, 50) if pale else (245, 240, 230), curve(guard, closed=True))
    for y in (0.66, 0.74):
        canvas.paint((215, 215, 215) if pale else (40, 38, 40), box(-0.06, y, 0.06, y + 0.035, 0.012))
    canvas.paint((205, 205, 210), box(-0.065, 0.825, 0.065, 0.86, 0.01))
    canvas.paint((235, 225, 200), ellipse(0.12, 0.88, 0.022, 0.022), ellipse(0.06, 0.915, 0.022, 0.022))


def _frets(canvas: Canvas, top: float, end: float) -> None:
    shares = 1 - 0.5 ** (np.arange(9) / 6.5)
    lines = [points((-0.034, y), (0.034, y)) for y in top + (end - top) * shares / shares[-1]]
    canvas.line((214, 200, 170), 0.007, *lines)


def _headstock(canvas: Canvas, rng: np.random.Generator, top: float, colour: Colour) -> None:
    ys = top + np.array([0.015, 0.05, 0.085])
    canvas.fill((225, 220, 210), *(ellipse(x, y, 0.019, 0.013) for y in ys for x in (-0.068, 0.068)))
    dip = rng.uniform(-0.02, 0.015)
    head = ((-0.055, -0.02), (0, -0.02 + dip), (0.055, -0.02), (0.047, 0.09), (0.03, 0.115), (-0.03, 0.115))
    canvas.fill(colour, points(*head, (-0.047, 0.09)) + points((0, top)))


def violin(rng: np.random.Generator) -> Canvas:
    """A violin, upright, with its bow across."""
    colour = pick(rng, VIOLIN_WOODS)
    canvas = Canvas(shade(colour, -0.8), rng.uniform(0.012, 0.017))
    wide = rng.uniform(0.95, 1.1)
    upper = curve(points((0.0, 0.4), (0.07, 0.405), (0.145, 0.46), (0.15, 0.53), (0.165, 0.575)))
    middle = curve(points((0.165, 0.575), (0.115, 0.6), (0.102, 0.66), (0.125, 0.715), (0.185, 0.735)))
    lower = curve(points((0.185, 0.735), (0.2, 0.82), (0.17, 0.92), (0.09, 0.975), (0.0, 0.985)))
    body = mirrored(np.concatenate([upper, middle, lower]) * (wide, 1))
    canvas.fill(shade(colour, -0.35), body)
    canvas.paint(colour, (body - (0, 0.7)) * (0.9, 0.94) + (0, 0.698))
    canvas.paint(shade(colour, 0.25), ellipse(-0.1 * wide, 0.85, 0.035, 0.075, 0.35))
    for side in (-1, 1):
        hole = curve(points((0.062, 0.6), (0.075, 0.62), (0.07, 0.665), (0.095, 0.715), (0.105, 0.74)) * (side, 1))
        canvas.line((30, 16, 12), 0.014, hole)
        canvas.paint(
            (30, 16, 12), ellipse(side * 0.056, 0.607, 0.013, 0.013), ellipse(side * 0.11, 0.733, 0.014, 0.014)
        )
    canvas.fill((38, 28, 28), points((-0.022, 0.77), (0.022, 0.77), (0.042, 0.86), (0.0, 0.97), (-0.042, 0.86)))
    _violin_neck(canvas, colour)
    canvas.line((235, 225, 205), 0.0045, *(points((x, 0.13), (1.6 * x, 0.8)) for x in (-0.012, 0.0, 0.012)))
    canvas.paint(CREAM, box(-0.06, 0.69, 0.06, 0.705))
    _bow(canvas, rng)
    return canvas


def _violin_neck(canvas: Canvas, colour: Colour) -> None:
    for side, y in ((-1, 0.075), (1, 0.1), (-1, 0.13), (1, 0.155)):
        canvas.fill((38, 28, 28), ellipse(side * 0.062, y, 0.032, 0.013))
    canvas.fill(shade(colour, -0.2), points((-0.034, 0.04), (0.034, 0.04), (0.026, 0.2), (-0.026, 0.2)))
    canvas.fill(shade(colour, -0.2), ellipse(0, 0.025, 0.046, 0.042))
    canvas.line(shade(colour, -0.75), 0.01, arc(0, 0.025, 0.022, 0.02, -2.5, 2.5))
    canvas.fill((38, 28, 28), points((-0.022, 0.18), (0.022, 0.18), (0.038, 0.62), (-0.038, 0.62)))


def _bow(canvas: Canvas, rng: np.random.Generator) -> None:
    """The bow across the strings, or beside the violin and leaning on it."""
    side = 1 if rng.random() < 0.5 else -1
    if rng.random() < 0.5:
        angle, x, y = rng.uniform(-0.75, -0.45), 0.0, rng.uniform(0.63, 0.68)
    else:
        angle, x, y = rng.uniform(-1.82, -1.76), 0.215, 0.56
    stick = curve(points((-0.42, -0.04), (-0.2, -0.028), (0.0, -0.024), (0.2, -0.03), (0.42, -0.05)))
    hair = points((-0.37, 0.026), (0.42, 0.026))
    frog = points((-0.39, -0.045), (-0.29, -0.04), (-0.29, 0.035), (-0.37, 0.035))
    tip = points((0.405, -0.055), (0.44, -0.06), (0.43, 0.032), (0.41, 0.032))
    stick, hair, frog, tip = ((turned(part, angle) + points((x, y))) * (side, 1) for part in (stick, hair, frog, tip))
    canvas.tube((252, 246, 232), 0.026, hair)
    canvas.tube((190, 110, 60), 0.024, stick)
    canvas.fill((50, 34, 30), frog, tip)
