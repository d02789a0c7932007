"""Many pictures in one."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .legends import default_font, legend, wrap
from .mask_pictures import enlarge, overlay, palette, resize
from .sound_strips import NOW, draw_sound, loudness

# Font of captions, in pixels: the first number, under wide pictures their width divided by the second.
FONT_SIZE, WIDTH_TO_FONT = 16, 40
MARGIN = 4
# Pixels of a frame on a sheet of masks, and of the sound under it.
CELL_WIDTH, SOUND_HEIGHT = 320, 28


def mask_sheet(
    frames: Sequence[np.ndarray],
    masks: np.ndarray,
    labels: Sequence[str],
    captions: Sequence[str],
    columns: int,
    waveforms: Sequence[np.ndarray] | None = None,
    colors: np.ndarray | None = None,
) -> Image.Image:
    """Frames with masks in rows, what the colours mean, and under each frame its sound.

    Args:
        frames: uint8 `[T, H, W, 3]`, RGB.
        masks: bool `[E, T, h, w]`, of any size.
        labels: what each of the `E` masks shows.
        captions: what stands under each of the `T` frames.
        columns: number of frames in a row.
        waveforms: the sound under each frame, float `[channels, samples]` in [-1, 1].
        colors: 0..255 RGB `[E, 3]`; by default `palette(E)`.

    Raises:
        ValueError: shapes or types do not fit, or there is not one label for each mask or one caption for each frame.
    """
    colors = palette(len(masks)) if colors is None else colors
    cells = []
    for index, frame in enumerate(frames):
        small, drawn = resize(frame, masks[:, index], CELL_WIDTH)
        cell = overlay(small[None], drawn[:, None], colors)[0]
        if waveforms is not None:
            lane = np.empty((SOUND_HEIGHT, CELL_WIDTH, 3), np.uint8)
            draw_sound(lane, loudness(waveforms[index], CELL_WIDTH), NOW)
            cell = np.concatenate([cell, lane])
        cells.append(cell)
    sheet = contact_sheet(cells, columns, captions)
    return Image.fromarray(np.concatenate([legend(labels, colors, sheet.width, FONT_SIZE), np.asarray(sheet)]))


def side_by_side(
    frame: np.ndarray, results: Sequence[np.ndarray], labels: Sequence[str], colors: np.ndarray | None = None
) -> Image.Image:
    """One frame with the masks of several models over it, next to each other; a small frame is enlarged.

    Args:
        frame: uint8 `[H, W, 3]`, RGB.
        results: for each model bool `[E, H, W]`.
        labels: a caption for each model.
        colors: one for each of the `E` objects, see `overlay`.

    Raises:
        ValueError: shapes or types do not fit, or the labels are not as many as the models.
    """
    drawn = []
    for masks in results:
        large, shown = enlarge(frame, masks)
        drawn.append(overlay(large[None], shown[:, None], colors)[0])
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
    font = default_font(max(FONT_SIZE, width // WIDTH_TO_FONT))
    captions = [wrap(label, font, width) for label in labels or [""] * len(pictures)]
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
