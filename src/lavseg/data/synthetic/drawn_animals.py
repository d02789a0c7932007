"""A dog and a bird."""

import numpy as np

from .canvas import Canvas, Colour, box, curve, ellipse, pick, points, shade

DOG_COLOURS = ((200, 140, 80), (156, 100, 60), (234, 200, 148), (128, 120, 118), (240, 230, 214), (110, 76, 58))
BIRD_COLOURS = ((70, 140, 215), (225, 80, 70), (250, 200, 60), (90, 175, 105), (240, 140, 60), (130, 115, 205))
COLLARS = ((205, 45, 50), (50, 110, 190), (50, 150, 100))
EYE, WHITE, TONGUE = (26, 22, 24), (255, 255, 255), (235, 110, 120)


def dog(rng: np.random.Generator) -> Canvas:
    """A dog in side view that looks to the right, standing or sitting."""
    colour = pick(rng, DOG_COLOURS)
    canvas = Canvas(shade(colour, -0.78), rng.uniform(0.015, 0.02))
    dark = shade(colour, -0.35)
    spotted = rng.random() < 0.5
    (_sitting if rng.random() < 0.4 else _standing)(canvas, rng, colour, dark, spotted)
    canvas.tube(pick(rng, COLLARS), 0.045, points((0.555, 0.345), (0.73, 0.4)))
    if rng.random() < 0.5:
        tongue = points((0.82, 0.27), (0.9, 0.27), (0.9, 0.37), (0.86, 0.395), (0.82, 0.36))
        canvas.fill(TONGUE, curve(tongue, closed=True))
    muzzle = curve(points((0.72, 0.12), (0.88, 0.15), (0.96, 0.2), (0.93, 0.29), (0.78, 0.32)), closed=True)
    canvas.fill(colour, ellipse(0.68, 0.18, 0.165, 0.16), muzzle)
    canvas.paint(shade(colour, 0.5), curve(points((0.82, 0.21), (0.91, 0.2), (0.93, 0.26), (0.8, 0.3)), closed=True))
    if spotted:
        canvas.paint(dark, ellipse(0.755, 0.13, 0.05, 0.06, 0.4))
    canvas.paint(WHITE, ellipse(0.757, 0.13, 0.033, 0.038))
    canvas.paint(EYE, ellipse(0.953, 0.175, 0.045, 0.038), ellipse(0.764, 0.133, 0.024, 0.029))
    canvas.line(EYE, 0.013, curve(points((0.935, 0.255), (0.88, 0.28), (0.81, 0.25))))
    if rng.random() < 0.8:
        ear = points((0.57, 0.04), (0.66, 0.07), (0.665, 0.22), (0.6, 0.36), (0.51, 0.31), (0.51, 0.14))
        canvas.fill(dark, curve(ear, closed=True))
    else:
        canvas.fill(dark, points((0.535, 0.12), (0.565, -0.09), (0.7, 0.05), (0.63, 0.14)))
    return canvas


def _standing(canvas: Canvas, rng: np.random.Generator, colour: Colour, dark: Colour, spotted: bool) -> None:
    long, ground, wag = rng.uniform(-0.02, 0.12), rng.uniform(0.83, 0.92), rng.uniform(-0.07, 0.09)
    canvas.fill(dark, *(box(x, 0.55, x + 0.1, ground - 0.02, 0.035) for x in (0.25 - long, 0.6)))
    tail = points((0.16 - long, 0.45), (0.07 - long, 0.37), (0.02 + wag - long, 0.25), (0.05 + 1.5 * wag - long, 0.13))
    body = points(
        *((0.13 - long, 0.43), (0.25 - long, 0.37), (0.45, 0.39), (0.58, 0.36), (0.7, 0.42), (0.71, 0.55)),
        *((0.62, 0.66), (0.45, 0.63), (0.26 - long, 0.66), (0.13 - long, 0.6)),
    )
    legs = [box(x, 0.5, x + 0.115, ground, 0.04) for x in (0.12 - long, 0.52)]
    paws = [box(x + 0.03, ground - 0.07, x + 0.15, ground, 0.033) for x in (0.12 - long, 0.52)]
    canvas.tube(colour, 0.07, curve(tail))
    canvas.fill(
        colour, curve(body, closed=True), points((0.5, 0.42), (0.58, 0.2), (0.78, 0.25), (0.72, 0.5)), *legs, *paws
    )
    if spotted:
        canvas.paint(dark, ellipse(0.36 - long / 2, 0.465, 0.12, 0.075, 0.2))


def _sitting(canvas: Canvas, rng: np.random.Generator, colour: Colour, dark: Colour, spotted: bool) -> None:
    ground, wag = rng.uniform(0.88, 0.96), rng.uniform(-0.06, 0.06)
    tail = points((0.3, ground - 0.06), (0.17, ground - 0.08), (0.09, ground - 0.2 - wag), (0.1, ground - 0.32 - wag))
    canvas.tube(colour, 0.07, curve(tail))
    canvas.fill(dark, box(0.6, 0.5, 0.7, ground - 0.015, 0.035), box(0.62, ground - 0.075, 0.75, ground - 0.015, 0.033))
    back = points(
        (0.5, 0.25), (0.44, 0.42), (0.3, 0.62), (0.24, ground - 0.12), (0.3, ground - 0.01), (0.56, ground - 0.03)
    )
    chest = points((0.66, ground - 0.2), (0.73, 0.5), (0.74, 0.3))
    legs = box(0.5, 0.5, 0.61, ground, 0.04), box(0.52, ground - 0.07, 0.67, ground, 0.033)
    canvas.fill(colour, curve(np.concatenate([back, chest]), closed=True), *legs)
    if spotted:
        canvas.paint(dark, ellipse(0.42, 0.55, 0.08, 0.11, 0.6))
    thigh = ellipse(0.375, ground - 0.15, 0.125, 0.14), box(0.3, ground - 0.075, 0.52, ground, 0.035)
    canvas.fill(colour, *thigh)


def bird(rng: np.random.Generator) -> Canvas:
    """A songbird in side view that looks to the right."""
    colour = pick(rng, BIRD_COLOURS)
    canvas = Canvas(shade(colour, -0.75), rng.uniform(0.015, 0.021))
    beak = (245, 150, 40) if colour[0] < 235 else (130, 84, 60)
    leg, tip, rise = rng.uniform(0.82, 0.9), rng.uniform(0.99, 1.06), rng.uniform(-0.16, 0.08)
    for x in (0.41, 0.54):
        canvas.tube(beak, 0.024, points((x, 0.64), (x - 0.01, leg), (x + 0.07, leg)))
    tail = points((0.24, 0.46), (-0.1, 0.52 + rise), (-0.14, 0.6 + rise), (-0.07, 0.67 + rise), (0.24, 0.63))
    body = points(
        *((0.1, 0.52), (0.3, 0.36), (0.5, 0.2), (0.68, 0.06), (0.84, 0.13), (0.87, 0.3), (0.8, 0.52)),
        *((0.66, 0.69), (0.44, 0.74), (0.22, 0.66)),
    )
    canvas.fill(shade(colour, -0.25), tail)
    if rng.random() < 0.4:
        crest = points((0.6, 0.12), (0.5, -0.06), (0.64, -0.01), (0.66, -0.09), (0.77, 0.07))
        canvas.fill(shade(colour, -0.25), curve(crest, closed=True))
    canvas.fill(beak, points((0.84, 0.13), (tip, 0.215), (0.84, 0.29)))
    canvas.line(canvas.outline, 0.011, points((0.86, 0.215), (tip - 0.03, 0.216)))
    canvas.fill(colour, curve(body, closed=True))
    belly = points((0.84, 0.34), (0.78, 0.52), (0.64, 0.66), (0.46, 0.71), (0.48, 0.6), (0.62, 0.5), (0.72, 0.38))
    canvas.paint(shade(colour, 0.65), curve(belly, closed=True))
    drop = rng.uniform(-0.05, 0.05)
    wing = points(
        (0.56, 0.36), (0.58, 0.48), (0.44, 0.6), (0.2, 0.66 + drop), (0.04, 0.63 + drop), (0.26, 0.46), (0.44, 0.34)
    )
    canvas.fill(shade(colour, -0.35), curve(wing, closed=True))
    feathers = points((0.5, 0.46), (0.38, 0.55), (0.2, 0.59)), points((0.45, 0.41), (0.34, 0.48), (0.22, 0.53))
    canvas.line(shade(colour, -0.65), 0.014, *(curve(feather) for feather in feathers))
    canvas.paint(WHITE, ellipse(0.745, 0.19, 0.046, 0.046))
    canvas.paint(EYE, ellipse(0.755, 0.19, 0.03, 0.032))
    canvas.paint(WHITE, ellipse(0.763, 0.178, 0.009, 0.009))
    return canvas
