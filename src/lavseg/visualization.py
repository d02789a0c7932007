"""Pictures of results: masks and attention over frames, contact sheets, comparisons, and mask files."""

import textwrap
from collections.abc import Sequence
from numbers import Real
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Okabe and Ito, "Color Universal Design" (2008), without black: told apart by colour-blind readers.
OKABE_ITO = np.array(
    [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167)]
)
FONT_SIZE = 16
MARGIN = 4


def palette(count: int) -> np.ndarray:
    """`count` RGB colours, uint8 `[count, 3]`: the seven of Okabe and Ito, then the same seven ever darker."""
    rounds, index = np.divmod(np.arange(count), len(OKABE_ITO))
    return (OKABE_ITO[index] * 0.6 ** rounds[:, None]).astype(np.uint8)


def overlay(frames: np.ndarray, masks: np.ndarray, colors: np.ndarray | None = None, alpha: float = 0.5) -> np.ndarray:
    """Frames with masks drawn over them: a see-through fill and an opaque contour inside each mask's edge.

    Args:
        frames: uint8 `[T, H, W, 3]`, RGB.
        masks: bool `[T, H, W]`, or `[E, T, H, W]` for several objects; later objects lie over earlier ones.
        colors: 0..255 RGB `[E, 3]`; by default `palette(E)`.
        alpha: weight of the colour in the fill, 0 (none) to 1 (opaque).

    Returns:
        uint8 `[T, H, W, 3]`.

    Raises:
        ValueError: shapes or types do not fit.
    """
    frames, masks = np.asarray(frames), np.asarray(masks)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames is {frames.dtype} {list(frames.shape)}; give uint8 [T, H, W, 3]")
    _require_bool(masks)
    masks = masks[None] if masks.ndim == 3 else masks
    if masks.ndim != 4 or masks.shape[1:] != frames.shape[:-1]:
        expected = ", ".join(map(str, frames.shape[:-1]))
        raise ValueError(f"masks is {list(masks.shape)}; these frames take [{expected}] or [E, {expected}]")
    colors = palette(len(masks)) if colors is None else np.asarray(colors)
    if colors.shape != (len(masks), 3):
        raise ValueError(f"colors is {list(colors.shape)}; {len(masks)} objects take [{len(masks)}, 3]")
    if colors.dtype.kind not in "iuf" or not ((colors >= 0) & (colors <= 255)).all():
        raise ValueError("colors holds more than numbers from 0 to 255")
    _require_share(alpha)
    drawn = frames.copy()
    for mask, color in zip(masks, colors, strict=True):
        drawn[mask] = np.rint(drawn[mask] * (1 - alpha) + color * alpha)
        drawn[_contour(mask)] = color
    return drawn


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


def side_by_side(
    frame: np.ndarray, results: Sequence[np.ndarray], labels: Sequence[str], colors: np.ndarray | None = None
) -> Image.Image:
    """One frame with the masks of several models over it, next to each other.

    Args:
        frame: uint8 `[H, W, 3]`, RGB.
        results: for each model bool `[E, H, W]`.
        labels: a caption for each model.
        colors: one for each of the `E` objects, see `overlay`.

    Raises:
        ValueError: shapes or types do not fit, or the labels are not as many as the models.
    """
    drawn = [overlay(frame[None], np.asarray(masks)[:, None], colors)[0] for masks in results]
    return contact_sheet(drawn, len(drawn), labels)


def contact_sheet(
    images: Sequence[np.ndarray | Image.Image], columns: int, labels: Sequence[str] | None = None
) -> Image.Image:
    """One picture of many, row by row, each in a cell of the largest one's size, with captions wrapped underneath.

    Args:
        images: uint8 `[H, W, 3]` arrays (or `[N, H, W, 3]`) or PIL images; sizes may differ.
        columns: number of pictures in a row.
        labels: a caption for each image.

    Raises:
        ValueError: no images, no columns, or not one label for each image.
    """
    pictures = [image if isinstance(image, Image.Image) else Image.fromarray(image) for image in images]
    if not pictures or columns < 1:
        raise ValueError(f"{len(pictures)} images in {columns} columns; give at least one of each")
    if labels is not None and len(labels) != len(pictures):
        raise ValueError(f"{len(labels)} labels for {len(pictures)} images; give one for each")
    width, height = max(p.width for p in pictures), max(p.height for p in pictures)
    font = ImageFont.load_default(FONT_SIZE)
    letters = max(1, int(width / font.getlength("n")))
    captions = [textwrap.wrap(label, letters) for label in labels or [""] * len(pictures)]
    line = sum(font.getmetrics())
    cell_width, cell_height = width + MARGIN, height + line * max(map(len, captions)) + MARGIN
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * cell_width + MARGIN, rows * cell_height + MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        row, column = divmod(index, columns)
        x, y = column * cell_width + MARGIN, row * cell_height + MARGIN
        sheet.paste(picture, (x, y))
        for number, text in enumerate(caption):
            draw.text((x, y + height + number * line), text, "black", font)
    return sheet


def save_mask(mask: np.ndarray, path: Path) -> None:
    """Write a mask, bool `[H, W]`, as an 8-bit image with 0 and 255."""
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)


def _require_share(alpha: float) -> None:
    if not isinstance(alpha, Real) or not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha!r}; give 0 to 1")


def _require_bool(masks: np.ndarray) -> None:
    if masks.dtype != bool:
        raise ValueError(f"masks is {masks.dtype}; give booleans, for logits `masks > 0`")


def _contour(masks: np.ndarray) -> np.ndarray:
    """Inner edge of each mask `[T, H, W]`, a pixel wide for every 360 of the frame's shorter side, at least one."""
    height, width = masks.shape[-2:]
    step = max(1, round(min(height, width) / 360))
    padded = np.pad(masks, ((0, 0), (step, step), (step, step)), mode="edge")
    up, down = padded[:, : -2 * step, step:-step], padded[:, 2 * step :, step:-step]
    left, right = padded[:, step:-step, : -2 * step], padded[:, step:-step, 2 * step :]
    return masks & ~(up & down & left & right)
