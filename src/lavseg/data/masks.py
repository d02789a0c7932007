"""Masks of any PNG mode as arrays of 0 and 1."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

MASK_RESIZES = ("nearest", "bilinear_gt0")


def row_masks(row: dict, size: tuple[int, int] | None = None, mask_resize: str = "nearest") -> np.ndarray:
    """Masks of one row of `load_ref_avs` or `load_avsbench`, uint8 0/1 `[L, h, w]`, of its first `L` frames.

    `L` is the number of frames, or less where not all carry a label. Null rows are blank. `size` is height and width;
    None takes the size of the frames.
    """
    width, height = row["frames"][0].size
    size = size or (height, width)
    if row["is_null"]:
        return np.zeros((len(row["frames"]), *size), np.uint8)
    return binary_masks(row["masks"], size, mask_resize)


def binary_masks(images: Sequence[Image.Image], size: tuple[int, int], mask_resize: str = "nearest") -> np.ndarray:
    """Masks of any PNG mode as uint8 0/1 `[T, h, w]`: foreground is what is not black once turned to gray.

    Args:
        size: height and width.
        mask_resize: `nearest`, or `bilinear_gt0`, which interpolates the gray values as OpenCV does and keeps what is
            above zero. The latter enlarges the objects a little; the official Ref-AVS code evaluates so at 256x256.
    """
    if mask_resize not in MASK_RESIZES:
        raise ValueError(f"mask_resize: got {mask_resize!r}, expected one of {', '.join(MASK_RESIZES)}.")
    if mask_resize == "nearest":
        levels = stack_images(images, "L", size)
    else:
        levels = _resize_bilinear(stack_images(images, "L"), *size)
    return (levels > 0).astype(np.uint8)


def stack_images(images: Sequence[Image.Image], mode: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Images in one mode as one array `[T, h, w, ...]`, of their own size or brought to `size` (height, width) without
    interpolation."""
    if not images:
        raise ValueError("images: got none, expected one mask image per frame.")
    images = [image.convert(mode) for image in images]
    if size is not None:
        images = [image.resize(size[::-1], Image.Resampling.NEAREST) for image in images]
    return np.stack([np.asarray(image) for image in images])


def _resize_bilinear(levels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear without antialiasing in 11-bit fixed point, as OpenCV resizes 8-bit images `[T, H, W]`."""
    upper, lower, upper_weight, lower_weight = _taps(levels.shape[1], height)
    left, right, left_weight, right_weight = _taps(levels.shape[2], width)
    levels = levels.astype(np.int32)
    rows = (levels[..., left] * left_weight + levels[..., right] * right_weight) >> 4
    above = (rows[:, upper] * upper_weight[:, None]) >> 16
    below = (rows[:, lower] * lower_weight[:, None]) >> 16
    return (above + below + 2) >> 2


def _taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The two neighbours of every target position and their weights in units of 1/2048."""
    position = ((np.arange(target) + 0.5) * (source / target) - 0.5).astype(np.float32).clip(0, source - 1)
    first = position.astype(np.int32)
    weight = np.rint((position - first) * 2048).astype(np.int32)
    return first, np.minimum(first + 1, source - 1), 2048 - weight, weight
