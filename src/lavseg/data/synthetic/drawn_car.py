"""A car."""

import numpy as np

from .canvas import Canvas, box, ellipse, pick, points, shade

CAR_COLOURS = ((210, 45, 45), (40, 105, 190), (245, 190, 50), (60, 155, 105), (235, 120, 50), (235, 235, 232))
GLASS, TYRE, CHROME = (178, 222, 240), (38, 38, 44), (210, 214, 220)


def car(rng: np.random.Generator) -> Canvas:
    """A car in side view that faces right."""
    colour = pick(rng, CAR_COLOURS)
    canvas = Canvas(shade(colour, -0.78), rng.uniform(0.012, 0.017))
    roof, back = rng.uniform(-0.22, -0.16), rng.uniform(0.0, 0.1)
    cabin = points((0.08 + back, 0.06), (0.2 + back, roof), (0.58, roof), (0.76, 0.06))
    hull = points((0.0, 0.28), (0.01, 0.1), (0.1, 0.045), (0.75, 0.04), (0.93, 0.08), (1.0, 0.16), (1.0, 0.28))
    canvas.fill(colour, cabin, hull)
    inner = roof + 0.035
    canvas.paint(GLASS, points((0.15 + back, 0.04), (0.225 + back, inner), (0.38, inner), (0.38, 0.04)))
    canvas.paint(GLASS, points((0.42, 0.04), (0.42, inner), (0.565, inner), (0.69, 0.04)))
    canvas.line(shade(colour, -0.5), 0.01, points((0.4, 0.05), (0.4, 0.26)))
    canvas.paint(CHROME, box(0.44, 0.09, 0.5, 0.108))
    canvas.fill((255, 240, 170), ellipse(0.965, 0.15, 0.025, 0.035))
    canvas.fill((220, 60, 50), box(0.0, 0.1, 0.035, 0.16))
    radius = rng.uniform(0.095, 0.115)
    for x in (0.22, 0.78):
        canvas.fill(TYRE, ellipse(x, 0.28, radius, radius))
        canvas.paint(CHROME, ellipse(x, 0.28, radius * 0.52, radius * 0.52))
        canvas.paint(TYRE, ellipse(x, 0.28, radius * 0.18, radius * 0.18))
    return canvas
