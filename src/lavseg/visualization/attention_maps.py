"""Attention over frames."""

from numbers import Real

import numpy as np
from PIL import Image

from .sheets import contact_sheet


def heatmap(frame: np.ndarray, weights: np.ndarray, alpha: float = 0.8) -> np.ndarray:
    """A map of weights over a dim grey frame, from nothing (the least) through red and yellow to white (the most).

    A map that is the same everywhere shows nothing but the frame.

    Args:
        frame: uint8 `[H, W, 3]`, RGB.
        weights: float `[h, w]`, of any size and range.
        alpha: weight of the colour where the map is highest, 0 to 1.

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        ValueError: shapes or types do not fit.
    """
    frame, weights = np.asarray(frame), np.asarray(weights, np.float32)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3:
        raise ValueError(f"frame is {frame.dtype} {list(frame.shape)}; give uint8 [H, W, 3]")
    if weights.ndim != 2 or not weights.size or not np.isfinite(weights).all():
        raise ValueError(f"weights is {list(weights.shape)}; give finite numbers [h, w]")
    _require_share(alpha)
    height, width = frame.shape[:2]
    low, high = float(weights.min()), float(weights.max())
    # Rounding leaves a constant map with differences in the last digits.
    flat = high - low <= 1e-5 * max(abs(low), abs(high))
    heat = np.zeros_like(weights) if flat else (weights - low) / (high - low)
    heat = np.asarray(Image.fromarray(heat).resize((width, height), Image.Resampling.BILINEAR))[..., None]
    color = 255 * np.clip(3 * heat - np.arange(3), 0, 1)
    dim = frame.mean(-1, keepdims=True) / 2
    return np.rint(dim * (1 - alpha * heat) + color * (alpha * heat)).astype(np.uint8)


def attention_sheet(frame: np.ndarray, attentions: dict[str, np.ndarray], width: int = 240) -> Image.Image:
    """Attention maps over one frame: a row for each kind of map, a column for each block where there are several.

    Args:
        frame: uint8 `[H, W, 3]`, RGB.
        attentions: float `[blocks, h, w]` by name, such as `vision_attentions`, what updates the image.
        width: pixels of each picture.
    """
    height = max(1, round(width * frame.shape[0] / frame.shape[1]))
    small = np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR))
    columns, nothing = max(map(len, attentions.values())), np.full_like(small, 255)
    pictures, labels = [], []
    for name, maps in attentions.items():
        kind, left = name.removesuffix("_attentions"), columns - len(maps)
        pictures += [heatmap(small, weights) for weights in maps] + [nothing] * left
        labels += [f"{kind}, block {block}" for block in range(1, len(maps) + 1)] if len(maps) > 1 else [kind]
        labels += [""] * left
    return contact_sheet(pictures, columns, labels)


def _require_share(alpha: float) -> None:
    if not isinstance(alpha, Real) or not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha!r}; give 0 to 1")
