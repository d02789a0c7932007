"""The classes of AVSBench-semantic and the colours that stand for them (Zhou et al., "AVSS", 2023)."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from .masks import check_masks, mask_colors, stack_images

_NAMES = """
background accordion airplane axe baby bassoon bell bird boat boy bus car cat cello clarinet clipper clock dog
donkey drum duck elephant emergency-car erhu flute frying-food girl goose guitar gun guzheng hair-dryer handpan
harmonica harp helicopter hen horse keyboard leopard lion man marimba missile-rocket motorcycle mower parrot piano
pig pipa saw saxophone sheep sitar sorna squirrel tabla tank tiger tractor train trombone truck trumpet tuba ukulele
utv vacuum-cleaner violin wolf woman
"""
CLASSES = tuple(_NAMES.split())


def class_palette(num_classes: int) -> np.ndarray:
    """Colours uint8 `[num_classes, 3]`: the class id's bits, three at a time, from the highest bit of R, G, B down."""
    ids, channels = np.arange(num_classes)[:, None], np.arange(3)
    bits = [(ids >> (3 * triple + channels) & 1) << (7 - triple) for triple in range(3)]
    return np.sum(bits, axis=0).astype(np.uint8)


PALETTE = class_palette(len(CLASSES))


def class_masks(images: Sequence[Image.Image], size: tuple[int, int]) -> np.ndarray:
    """Class ids uint8 `[T, h, w]` of colour masks, resized without interpolation; foreign colours are background.

    Args:
        size: height and width.
    """
    colors = _as_numbers(stack_images(images, mask_colors, size))
    known = _as_numbers(PALETTE)
    order = np.argsort(known)
    nearest = order[np.searchsorted(known, colors, sorter=order).clip(max=len(known) - 1)]
    return np.where(known[nearest] == colors, nearest, 0).astype(np.uint8)


def row_classes(row: dict, size: tuple[int, int] | None = None) -> np.ndarray:
    """Class ids of one row of `load_avsbench`, uint8 `[L, h, w]`, of its first `L` frames, as `row_masks`.

    Raises:
        ValueError: the masks of this row do not say the class, or do not fit its frames.
    """
    if not row.get("has_classes"):
        raise ValueError(
            f"classes: the masks of clip {row['clip']} do not say which class is where; "
            "those of load_avsbench's subsets v1s, v1m and v2 do."
        )
    check_masks(row)
    width, height = row["frames"][0].size
    return class_masks(row["masks"], size or (height, width))


def _as_numbers(colors: np.ndarray) -> np.ndarray:
    """One number for each colour of `[..., 3]`."""
    return colors.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
