"""Textured backgrounds in muted colours: rooms, planks, tiles, bricks, meadows, curtains, cloth and soft lights."""

from colorsys import hsv_to_rgb

import numpy as np
from PIL import Image

_DARKEST, _BRIGHTEST = 30, 225


def draw_background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Draw a textured background, uint8 `[height, width, 3]`, neither black nor white anywhere."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    scene = _SCENES[rng.integers(len(_SCENES))]
    picture = scene(rng, y, x) * (1 + _light(rng, y, x) + 0.035 * _grain(rng, height, width))[..., None]
    return np.clip(picture, _DARKEST, _BRIGHTEST).astype(np.uint8)


def _color(rng: np.random.Generator, hues: tuple[float, float] = (0, 1), low: float = 0.38) -> np.ndarray:
    """A muted colour, float32 `[3]`; `low` is its least brightness as a share."""
    color = hsv_to_rgb(rng.uniform(*hues), rng.uniform(0.06, 0.26), rng.uniform(low, 0.7))
    return 255 * np.array(color, np.float32)


def _noise(rng: np.random.Generator, shape: tuple[int, int], rows: float, columns: float) -> np.ndarray:
    """Smooth noise in -1..1, float32 of `shape`, with so many cells from top to bottom and from left to right."""
    cells = tuple(min(max(round(n), 2), most) for n, most in zip((rows, columns), shape, strict=True))
    grid = rng.uniform(-1, 1, cells).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize(shape[::-1], Image.Resampling.BICUBIC))


def _clouds(rng: np.random.Generator, shape: tuple[int, int], cells: float = 3) -> np.ndarray:
    """Noise of several scales, the coarsest with `cells` cells from top to bottom."""
    aspect = shape[1] / shape[0]
    return sum(_noise(rng, shape, cells * 2.5**i, cells * 2.5**i * aspect) / 1.7**i for i in range(4)) / 2


def _grain(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return rng.standard_normal((height, width), dtype=np.float32)


def _light(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Light from one side and, in half of the pictures, darker corners, as a share of the colour."""
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.25)
    middle = x.max() / 2
    light = strength * (np.cos(angle) * (x - middle) + np.sin(angle) * (y - 0.5))
    if rng.random() < 0.5:
        light -= rng.uniform(0.1, 0.3) * (((x - middle) / middle) ** 2 + (2 * y - 1) ** 2 - 0.7)
    return light


def _mix(below: np.ndarray, above: np.ndarray, share: np.ndarray) -> np.ndarray:
    return below + share[..., None] * (above - below)


def _line(distance: np.ndarray, thickness: float, height: int) -> np.ndarray:
    """How much of a line covers each pixel; `distance` and `thickness` in heights of the picture."""
    return np.clip((thickness / 2 - distance) * height + 0.5, 0, 1)


def _plaster(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return _color(rng) * (1 + rng.uniform(0.05, 0.16) * _clouds(rng, y.shape, rng.uniform(1.5, 5)))[..., None]


def _planks(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Wooden boards, upright or lying, with grain along them."""
    color = _color(rng, (0.05, 0.12))
    upright = rng.random() < 0.5
    across = x if upright else y
    width = rng.uniform(0.12, 0.3)
    position = across / width + rng.random()
    board = position.astype(int)
    tones = rng.uniform(-0.1, 0.1, board.max() + 1).astype(np.float32)
    cells = np.array([3, 40 * x.max()] if upright else [40, 3 * x.max()])
    grain = _noise(rng, y.shape, *cells) + 0.6 * _noise(rng, y.shape, *2.2 * cells)
    gap = _line(np.abs(position - np.round(position)) * width, 0.012, y.shape[0])
    return color * (1 + tones[board] + 0.07 * grain - 0.35 * gap)[..., None]


def _tiles(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Tiles or bricks, these twice as wide as high and shifted from row to row."""
    bricks = rng.random() < 0.5
    side = rng.uniform(0.09, 0.16) if bricks else rng.uniform(0.14, 0.32)
    row = y / side + rng.random()
    column = x / (2.2 * side if bricks else side) + rng.random() + (row.astype(int) % 2 * 0.5 if bricks else 0)
    rows, columns = row.astype(int), column.astype(int)
    tones = rng.uniform(-1, 1, (rows.max() + 1, columns.max() + 1)).astype(np.float32)[rows, columns]
    aside = np.abs(column - np.round(column)) * (2.2 if bricks else 1)
    gap = _line(np.minimum(np.abs(row - np.round(row)), aside) * side, rng.uniform(0.01, 0.02), y.shape[0])
    color = _color(rng, (0.98, 1.08) if bricks else (0, 1))
    picture = color * (1 + rng.uniform(0.03, 0.1) * tones + 0.06 * _clouds(rng, y.shape, 8))[..., None]
    return _mix(picture, picture * rng.choice([0.72, 1.22]), gap)


def _meadow(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Grass under a hazy sky, hills between them."""
    height = y.shape[0]
    horizon = rng.uniform(0.25, 0.6)
    clouds = _clouds(rng, y.shape, 2)
    picture = _color(rng, (0.53, 0.62), 0.6) * (1 + 0.1 * (y - horizon) + 0.08 * clouds)[..., None]
    for share in (0.09, 0):
        ridge = horizon - share - rng.uniform(0.02, 0.05) * _noise(rng, (2, y.shape[1]), 2, rng.uniform(3, 6))[0]
        hill = _color(rng, (0.22, 0.42), 0.42) * (1 + 0.06 * clouds)[..., None]
        picture = _mix(picture, hill, np.clip((y - ridge) * height + 0.5, 0, 1))
    blades = _noise(rng, y.shape, 45, 90 * x.max()) + _noise(rng, y.shape, 14, 28 * x.max())
    return picture * (1 + 0.09 * blades * np.clip((y - horizon) * 4, 0, 1))[..., None]


def _curtain(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Cloth that hangs in folds."""
    bend = 0.05 * _noise(rng, y.shape, 2, 4)
    folds = np.sin(2 * np.pi * (rng.uniform(5, 11) * (x + bend) + 0.6 * _noise(rng, (2, y.shape[1]), 2, 6)[:1]))
    return _color(rng) * (1 + rng.uniform(0.08, 0.16) * folds + 0.04 * _clouds(rng, y.shape, 6))[..., None]


def _cloth(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A chequered or striped cloth seen from above."""
    angle = rng.uniform(-0.6, 0.6)
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    period = rng.uniform(0.12, 0.3)
    bands = [np.clip(0.5 + 0.4 * period * y.shape[0] * np.sin(2 * np.pi * v / period), 0, 1) for v in (along, across)]
    share = bands[0] if rng.random() < 0.4 else (bands[0] + bands[1]) / 2
    color = _color(rng)
    picture = _mix(color, 0.35 * _color(rng) + 0.65 * color, share)
    return picture * (1 + 0.08 * _clouds(rng, y.shape, 3))[..., None]


def _lights(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Large soft discs of light over a gradient, as out of focus."""
    picture = _mix(_color(rng), _color(rng), np.clip(y + 0.3 * _clouds(rng, y.shape, 1.5), 0, 1))
    for _ in range(int(rng.integers(4, 9))):
        radius = rng.uniform(0.06, 0.2)
        distance = np.hypot(y - rng.random(), x - rng.random() * x.max())
        disc = np.clip((radius - distance) / (0.3 * radius), 0, 1)
        picture = _mix(picture, _color(rng, low=0.55), rng.uniform(0.15, 0.4) * disc)
    return picture


def _room(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A wall over a floor, a skirting board between them."""
    edge, board = rng.uniform(0.6, 0.85), rng.uniform(0.02, 0.05)
    wall = (_plaster, _curtain, _tiles, _cloth)[rng.integers(4)](rng, y, x)
    floor = (_plaster, _planks, _tiles)[rng.integers(3)](rng, y, x)
    picture = _mix(wall, 0.85 * floor, np.clip((y - edge) * y.shape[0] + 0.5, 0, 1))
    return _mix(picture, _color(rng), _line(np.abs(y - edge), board, y.shape[0]))


_SCENES = (_plaster, _planks, _tiles, _meadow, _curtain, _cloth, _lights, _room, _room)
