"""Textured backgrounds in muted colours: plaster, wood, tiles, bricks, grass and cloth."""

import numpy as np
from PIL import Image


def draw_background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Draw a textured background, uint8 `[height, width, 3]`, neither black nor white anywhere."""
    picture = 130 + 20 * fractal_noise(rng, height, width)[..., None] + rng.uniform(-40, 40, 3).astype(np.float32)
    return np.clip(picture, 25, 230).astype(np.uint8)


def fractal_noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Noise at several scales, float32 `[height, width]`, about -1..1."""
    noise = np.zeros((height, width), np.float32)
    for cells, weight in ((3, 0.5), (8, 0.3), (24, 0.2)):
        grid = rng.uniform(-1, 1, (cells, cells * width // height + 1)).astype(np.float32)
        noise += weight * np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))
    return noise
