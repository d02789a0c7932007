"""A dog and a bird."""

import numpy as np

from .canvas import Canvas, box, curve, ellipse, pick, points, shade

DOG_COLOURS = ((196, 138, 80), (150, 98, 60), (232, 200, 150), (120, 112, 110), (236, 228, 214), (90, 66, 54))
BIRD_COLOURS = ((70, 140, 215), (225, 80, 70), (250, 200, 60), (90, 175, 105), (240, 140, 60), (120, 110, 200))
COLLARS = ((205, 45, 50), (50, 110, 190), (50, 150, 100))
EYE = (26, 22, 24)


def dog(rng: np.random.Generator) -> Canvas:
    """A dog in side view that looks to the right."""
    colour = pick(rng, DOG_COLOURS)
    canvas = Canvas(shade(colour, -0.78), rng.uniform(0.014, 0.019))
    dark = shade(colour, -0.3 if sum(colour) > 330 else 0.25)
    long, leg = rng.uniform(0.0, 0.1), rng.uniform(0.2, 0.27)
    ground = 0.62 + leg
    canvas.fill(dark, *(box(x, 0.55, x + 0.1, ground, 0.035) for x in (0.24 - long, 0.58)))
    wag = rng.uniform(-0.08, 0.08)
    tail = points((0.16 - long, 0.45), (0.06 - long, 0.36), (0.02 + wag - long, 0.22), (0.06 + wag - long, 0.12))
    body = points(
        *((0.14 - long, 0.42), (0.25 - long, 0.36), (0.45, 0.38), (0.58, 0.36), (0.7, 0.42), (0.71, 0.55)),
        *((0.62, 0.66), (0.45, 0.64), (0.26 - long, 0.67), (0.14 - long, 0.6)),
    )
    legs = [box(x, 0.5, x + 0.11, ground, 0.04) for x in (0.13 - long, 0.53)]
    neck = points((0.5, 0.42), (0.6, 0.2), (0.78, 0.25), (0.72, 0.5))
    canvas.tube(colour, 0.065, curve(tail))
    canvas.fill(colour, curve(body, closed=True), neck, *legs)
    canvas.tube(pick(rng, COLLARS), 0.04, points((0.565, 0.34), (0.73, 0.4)))
    muzzle = curve(points((0.72, 0.12), (0.88, 0.15), (0.95, 0.21), (0.92, 0.29), (0.78, 0.32)), closed=True)
    head = ellipse(0.69, 0.18, 0.16, 0.15)
    canvas.fill(colour, head, muzzle)
    canvas.paint(
        shade(colour, 0.4), curve(points((0.82, 0.2), (0.9, 0.2), (0.93, 0.25), (0.9, 0.28), (0.8, 0.3)), closed=True)
    )
    canvas.paint(EYE, ellipse(0.945, 0.175, 0.04, 0.035), ellipse(0.755, 0.13, 0.024, 0.028))
    canvas.paint((255, 255, 255), ellipse(0.762, 0.12, 0.009, 0.009))
    canvas.line(EYE, 0.012, curve(points((0.93, 0.26), (0.87, 0.275), (0.82, 0.25))))
    ear = points((0.6, 0.04), (0.68, 0.08), (0.67, 0.22), (0.6, 0.33), (0.53, 0.28), (0.54, 0.12))
    canvas.fill(dark, curve(ear, closed=True))
    if rng.random() < 0.5:
        canvas.paint(dark, ellipse(0.34, 0.46, 0.1, 0.07, 0.3))
    return canvas


def bird(rng: np.random.Generator) -> Canvas:
    """A songbird in side view that looks to the right."""
    colour = pick(rng, BIRD_COLOURS)
    canvas = Canvas(shade(colour, -0.75), rng.uniform(0.014, 0.02))
    beak = (245, 150, 40) if colour[0] < 235 else (120, 80, 60)
    canvas.tube(
        beak, 0.022, points((0.42, 0.66), (0.4, 0.84), (0.47, 0.84)), points((0.54, 0.66), (0.54, 0.84), (0.61, 0.84))
    )
    tail = points((0.2, 0.48), (-0.1, 0.52 + rng.uniform(-0.08, 0.08)), (-0.08, 0.66), (0.24, 0.62))
    body = points(
        *((0.1, 0.52), (0.3, 0.36), (0.5, 0.2), (0.68, 0.06), (0.84, 0.14), (0.86, 0.3), (0.8, 0.5)),
        *((0.66, 0.68), (0.44, 0.73), (0.22, 0.65)),
    )
    canvas.fill(shade(colour, -0.2), tail)
    canvas.fill(beak, points((0.84, 0.14), (1.03, 0.22), (0.84, 0.28)))
    canvas.fill(colour, curve(body, closed=True))
    belly = points((0.8, 0.32), (0.76, 0.5), (0.64, 0.64), (0.46, 0.69), (0.48, 0.6), (0.62, 0.5), (0.7, 0.36))
    canvas.paint(shade(colour, 0.6), curve(belly, closed=True))
    wing = points((0.56, 0.36), (0.58, 0.48), (0.44, 0.6), (0.2, 0.66), (0.06, 0.64), (0.26, 0.46), (0.44, 0.34))
    canvas.fill(shade(colour, -0.3), curve(wing, closed=True))
    canvas.line(shade(colour, -0.55), 0.014, curve(points((0.5, 0.46), (0.4, 0.54), (0.26, 0.58))))
    canvas.paint((255, 255, 255), ellipse(0.745, 0.19, 0.042, 0.042))
    canvas.paint(EYE, ellipse(0.752, 0.19, 0.026, 0.028))
    if rng.random() < 0.4:
        canvas.fill(
            shade(colour, -0.2),
            curve(points((0.6, 0.1), (0.52, -0.06), (0.66, 0.0), (0.68, -0.08), (0.76, 0.08)), closed=True),
        )
    return canvas
