"""A trumpet, a flute and a saxophone."""

import numpy as np

from .canvas import Canvas, arc, box, curve, ellipse, pick, points, ribbon, shade, turned

BRASS = ((238, 178, 44), (246, 198, 70), (222, 150, 40), (240, 190, 90))
SILVER = ((196, 204, 214), (178, 190, 206), (214, 218, 222))
FLUTE_COLOURS = (*SILVER, *SILVER, (232, 196, 110), (150, 200, 225))
SAXOPHONE_COLOURS = ((230, 165, 40), (216, 140, 38), (205, 120, 50), (236, 186, 80))
PEARL = (250, 243, 225)


def trumpet(rng: np.random.Generator) -> Canvas:
    """A trumpet with its bell to the right."""
    colour = pick(rng, BRASS if rng.random() < 0.85 else SILVER)
    canvas = Canvas(shade(colour, -0.72), rng.uniform(0.014, 0.019))
    thick, low, flare = rng.uniform(0.042, 0.052), rng.uniform(0.2, 0.24), rng.uniform(0.2, 0.245)
    back = arc(rng.uniform(0.14, 0.18), low / 2, 0.09, low / 2, -np.pi / 2, -3 * np.pi / 2)
    front = arc(rng.uniform(0.65, 0.69), low / 2, 0.09, low / 2, np.pi / 2, -np.pi / 2)
    canvas.tube(shade(colour, -0.15), thick, np.concatenate([back, front, back[:1]]))
    canvas.tube(colour, thick, points((0.03, 0.0), (0.6, 0.0)))
    xs = np.linspace(0.5, 1.0, 16)
    bell = ribbon(np.stack([xs, np.zeros(16)], axis=1), thick + 2 * flare * ((xs - 0.5) / 0.5) ** 2.8)
    canvas.fill(colour, bell)
    gleam = points((0.6, -0.012), (0.8, -0.045), (0.95, -0.16), (0.86, -0.045))
    canvas.paint(shade(colour, 0.5), curve(gleam, closed=True))
    canvas.fill(shade(colour, -0.2), ellipse(1.0, 0, 0.055, flare + thick / 2))
    canvas.paint(shade(colour, -0.62), ellipse(1.004, 0, 0.032, (flare + thick / 2) * 0.82))
    mouthpiece = points((-0.02, -0.05), (0.02, -0.042), (0.075, -0.018), (0.075, 0.018), (0.02, 0.042), (-0.02, 0.05))
    canvas.fill(colour, mouthpiece)
    canvas.line(shade(colour, 0.6), 0.012, points((0.12, -0.008), (0.28, -0.008)))
    for x, press in zip((0.325, 0.42, 0.515), rng.uniform(0.0, 0.05, 3), strict=True):
        canvas.tube(shade(colour, 0.3), 0.016, points((x, -0.15 + press), (x, -0.05)))
        canvas.fill(PEARL, box(x - 0.029, -0.185 + press, x + 0.029, -0.15 + press, 0.014))
        canvas.fill(colour, box(x - 0.03, -0.07, x + 0.03, low + 0.08, 0.014))
        canvas.paint(shade(colour, 0.5), box(x - 0.02, -0.045, x - 0.005, low + 0.06))
        canvas.paint(
            shade(colour, -0.3),
            box(x - 0.03, -0.03, x + 0.03, -0.015),
            box(x - 0.03, low + 0.03, x + 0.03, low + 0.045),
        )
    return canvas


def flute(rng: np.random.Generator) -> Canvas:
    """A transverse flute that rises to the right."""
    colour = pick(rng, FLUTE_COLOURS)
    canvas = Canvas(shade(colour, -0.72), rng.uniform(0.012, 0.016))
    half = rng.uniform(0.05, 0.058)
    canvas.fill(colour, box(0.0, -half, 1.0, half, 0.02))
    canvas.paint(shade(colour, 0.7), box(0.02, -half * 0.75, 0.98, -half * 0.25))
    canvas.paint(shade(colour, -0.3), box(0.01, half * 0.55, 0.99, half))
    canvas.fill(colour, *(box(x, -half * 1.2, x + 0.05, half * 1.2, 0.014) for x in (-0.02, 0.29, 0.97)))
    canvas.fill(shade(colour, 0.4), ellipse(0.155, -half * 0.4, 0.085, half * 1.15))
    canvas.paint((30, 30, 36), ellipse(0.155, -half * 0.5, 0.042, half * 0.55))
    for x in np.linspace(0.43, 0.9, int(rng.integers(4, 6))):
        canvas.fill(shade(colour, -0.35), box(x - 0.008, -half, x + 0.008, half * 0.6))
        canvas.fill(shade(colour, 0.75), ellipse(x, -half * 0.75, 0.036, half * 0.8))
    angle = -rng.uniform(0.4, 0.75)
    canvas.warp(lambda shape: turned(shape, angle))
    return canvas


def saxophone(rng: np.random.Generator) -> Canvas:
    """A saxophone with its bell to the right."""
    colour = pick(rng, SAXOPHONE_COLOURS)
    canvas = Canvas(shade(colour, -0.75), rng.uniform(0.013, 0.018))
    wide, reach = rng.uniform(0.95, 1.15), rng.uniform(0.0, 0.05)
    line = points(
        *((-0.17, 0.1), (-0.09, 0.04), (0.0, 0.035), (0.05, 0.1), (0.07, 0.22), (0.1, 0.5), (0.125, 0.74)),
        *((0.16, 0.88), (0.25, 0.95), (0.34, 0.9), (0.385 + reach, 0.78), (0.41 + reach, 0.64), (0.46 + reach, 0.5)),
    )
    knots = np.array([0.035, 0.042, 0.05, 0.055, 0.062, 0.085, 0.11, 0.135, 0.15, 0.16, 0.17, 0.19, 0.29]) * wide
    outline = curve(line)
    widths = np.interp(np.linspace(0, len(knots) - 1, len(outline)), np.arange(len(knots)), knots)
    canvas.tube((30, 28, 32), 0.032, points((-0.25, 0.165), (-0.17, 0.1)))
    canvas.fill(colour, ribbon(outline, widths))
    canvas.fill(shade(colour, -0.3), ellipse(0.462 + reach, 0.495, 0.16 * wide, 0.05, 0.35))
    canvas.paint(shade(colour, -0.65), ellipse(0.466 + reach, 0.49, 0.115 * wide, 0.028, 0.35))
    canvas.line(shade(colour, 0.55), 0.018, outline[34:60] - points((0.02, 0)), outline[74:90] + points((0.03, 0.02)))
    for y in np.linspace(0.3, 0.78, int(rng.integers(4, 7))):
        x = 0.07 + (y - 0.22) * 0.11
        canvas.fill(shade(colour, 0.55), ellipse(x, y, 0.038, 0.032))
        canvas.paint(shade(colour, -0.3), ellipse(x, y, 0.014, 0.012))
    canvas.fill(shade(colour, 0.35), ellipse(0.37 + reach, 0.78, 0.045, 0.05), ellipse(0.25, 0.93, 0.05, 0.04))
    canvas.tube(shade(colour, 0.2), 0.016, points((0.02, 0.32), (0.05, 0.6)))
    return canvas
