"""A trumpet, a flute and a saxophone."""

import numpy as np

from .canvas import Canvas, arc, box, curve, ellipse, pick, points, ribbon, shade

BRASS = ((238, 178, 44), (246, 198, 70), (222, 150, 40), (240, 190, 90))
SILVER = ((196, 204, 214), (178, 190, 206), (214, 218, 222))
FLUTE_COLOURS = (*SILVER, *SILVER, (232, 196, 110), (150, 200, 225))
SAXOPHONE_COLOURS = ((230, 165, 40), (216, 140, 38), (205, 120, 50), (236, 186, 80))


def trumpet(rng: np.random.Generator) -> Canvas:
    """A trumpet with its bell to the right."""
    colour = pick(rng, BRASS if rng.random() < 0.8 else SILVER)
    canvas = Canvas(shade(colour, -0.72), rng.uniform(0.013, 0.018))
    thick, low = rng.uniform(0.034, 0.042), rng.uniform(0.17, 0.2)
    flare = rng.uniform(0.17, 0.21)
    left, right = (
        arc(0.24, low / 2, 0.075, low / 2, -np.pi / 2, -3 * np.pi / 2),
        arc(0.64, low / 2, 0.075, low / 2, np.pi / 2, -np.pi / 2),
    )
    loop = np.concatenate([left, right, left[:1]])
    canvas.tube(shade(colour, -0.12), thick, loop)
    valves = [box(x - 0.03, -0.05, x + 0.03, low + 0.06, 0.012) for x in (0.37, 0.45, 0.53)]
    canvas.tube(shade(colour, -0.05), thick, points((0.03, 0.0), (0.7, 0.0)))
    xs = np.linspace(0.56, 1.0, 14)
    widths = thick + 2 * flare * ((xs - 0.56) / 0.44) ** 3.2
    bell = ribbon(np.stack([xs, np.zeros(14)], axis=1), widths)
    mouth = points((0.0, -0.045), (0.03, -0.035), (0.075, -0.014), (0.075, 0.014), (0.03, 0.035), (0.0, 0.045))
    canvas.fill(colour, bell)
    canvas.fill(shade(colour, -0.1), mouth)
    canvas.fill(shade(colour, -0.3), ellipse(1.0, 0, 0.045, flare + thick / 2))
    canvas.paint(shade(colour, -0.6), ellipse(1.005, 0, 0.022, flare * 0.75))
    canvas.line(shade(colour, 0.6), 0.012, points((0.14, -0.007), (0.33, -0.007)), points((0.6, -0.008), (0.8, -0.02)))
    canvas.fill(colour, *valves)
    for x, press in zip((0.37, 0.45, 0.53), rng.uniform(0.0, 0.03, 3), strict=True):
        canvas.tube(shade(colour, 0.3), 0.016, points((x, -0.12 + press), (x, -0.05)))
        canvas.fill(CREAM, box(x - 0.027, -0.145 + press, x + 0.027, -0.115 + press, 0.01))
        canvas.paint(shade(colour, 0.5), box(x - 0.016, -0.03, x - 0.004, low + 0.04))
        canvas.paint(
            shade(colour, -0.3), box(x - 0.03, 0.0, x + 0.03, 0.012), box(x - 0.03, low, x + 0.03, low + 0.012)
        )
    return canvas


CREAM = (250, 243, 225)


def flute(rng: np.random.Generator) -> Canvas:
    """A transverse flute that rises to the right."""
    colour = pick(rng, FLUTE_COLOURS)
    canvas = Canvas(shade(colour, -0.68), rng.uniform(0.011, 0.015))
    half = rng.uniform(0.036, 0.044)
    canvas.fill(colour, box(0.0, -half, 1.0, half, 0.02))
    canvas.paint(shade(colour, 0.6), box(0.02, -half * 0.7, 0.98, -half * 0.25))
    canvas.paint(shade(colour, -0.25), box(0.01, half * 0.5, 0.99, half))
    canvas.fill(shade(colour, 0.15), box(-0.01, -half * 1.25, 0.035, half * 1.25, 0.012))
    for x in (0.3, 0.84):
        canvas.fill(shade(colour, 0.15), box(x, -half * 1.3, x + 0.045, half * 1.3, 0.012))
    canvas.fill(shade(colour, 0.3), ellipse(0.17, -0.01, 0.075, half * 1.35))
    canvas.paint((30, 30, 36), ellipse(0.17, -0.015, 0.03, half * 0.55))
    count = int(rng.integers(6, 8))
    canvas.tube(shade(colour, -0.1), 0.012, points((0.38, -half * 1.4), (0.82, -half * 1.4)))
    for x in np.linspace(0.405, 0.795, count):
        canvas.fill(shade(colour, 0.35), ellipse(x, -half * 0.35, 0.027, half * 0.95))
        canvas.paint(shade(colour, -0.35), ellipse(x, -half * 0.35, 0.012, half * 0.4))
    canvas.fill(shade(colour, 0.35), ellipse(0.925, -half * 0.3, 0.024, half * 0.85))
    canvas.turn(-rng.uniform(0.35, 0.6))
    return canvas


def saxophone(rng: np.random.Generator) -> Canvas:
    """A saxophone with its bell to the right."""
    colour = pick(rng, SAXOPHONE_COLOURS)
    canvas = Canvas(shade(colour, -0.75), rng.uniform(0.013, 0.018))
    wide = rng.uniform(0.9, 1.12)
    line = points(
        *((-0.17, 0.1), (-0.09, 0.04), (0.0, 0.035), (0.05, 0.1), (0.07, 0.22), (0.1, 0.5), (0.125, 0.74)),
        *((0.16, 0.88), (0.25, 0.95), (0.34, 0.9), (0.385, 0.78), (0.41, 0.64), (0.46, 0.5)),
    )
    knots = np.array([0.035, 0.042, 0.05, 0.055, 0.062, 0.085, 0.11, 0.135, 0.15, 0.16, 0.17, 0.19, 0.29]) * wide
    outline = curve(line)
    widths = np.interp(np.linspace(0, len(knots) - 1, len(outline)), np.arange(len(knots)), knots)
    canvas.tube((30, 28, 32), 0.032, points((-0.25, 0.165), (-0.17, 0.1)))
    canvas.fill(colour, ribbon(outline, widths))
    canvas.fill(shade(colour, -0.3), ellipse(0.462, 0.495, 0.16 * wide, 0.05, 0.35))
    canvas.paint(shade(colour, -0.65), ellipse(0.466, 0.49, 0.115 * wide, 0.028, 0.35))
    canvas.line(shade(colour, 0.55), 0.018, outline[34:60] - (0.02, 0), outline[74:90] + (0.03, 0.02))
    for y in np.linspace(0.3, 0.78, int(rng.integers(5, 7))):
        x = 0.07 + (y - 0.22) * 0.11
        canvas.fill(shade(colour, 0.55), ellipse(x, y, 0.036, 0.03))
        canvas.paint(shade(colour, -0.3), ellipse(x, y, 0.014, 0.012))
    canvas.fill(shade(colour, 0.35), ellipse(0.37, 0.78, 0.045, 0.05), ellipse(0.25, 0.93, 0.05, 0.04))
    canvas.tube(shade(colour, 0.2), 0.016, points((0.02, 0.32), (0.05, 0.6)))
    return canvas
