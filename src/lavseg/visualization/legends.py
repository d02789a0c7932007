"""Text in pictures: wrapped captions, and legends that say what the colours of masks mean."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PAPER, INK, SOFT = (255, 255, 255), (20, 24, 32), (100, 106, 120)
# Lines of a label in a legend, at most.
MOST_LINES = 3


def default_font(size: float) -> ImageFont.FreeTypeFont:
    """The font of all pictures, of a size in pixels."""
    return ImageFont.load_default(size)


def wrap(text: str, font: ImageFont.FreeTypeFont, width: float, most: int | None = None) -> list[str]:
    """Lines no wider than `width` pixels; words that are wider are broken. Past `most` lines the text is cut."""
    lines, line = [], ""
    for word in text.split():
        if most is not None and len(lines) > most:
            break
        joined = f"{line} {word}".lstrip()
        if font.getlength(joined) <= width:
            line = joined
            continue
        lines += [line] if line else []
        while font.getlength(word) > width and len(word) > 1:
            fits = next(
                count for count in range(len(word) - 1, 0, -1) if count == 1 or font.getlength(word[:count]) <= width
            )
            lines.append(word[:fits])
            word = word[fits:]
        line = word
    lines += [line] if line else []
    if most is not None and len(lines) > most:
        last = lines[most - 1]
        while last and font.getlength(f"{last}…") > width:
            last = last[:-1]
        lines = [*lines[: most - 1], f"{last.rstrip()}…"]
    return lines


def legend(labels: Sequence[str], colors: np.ndarray, width: int, size: int) -> np.ndarray:
    """What the colours mean: a swatch before each label, in columns where the labels are short.

    Args:
        labels: what each of the `E` masks shows; cut after three lines.
        colors: 0..255 RGB `[E, 3]`.
        width: pixels of the picture.
        size: pixels of the font.

    Returns:
        uint8 `[H, width, 3]` of the height that it takes.

    Raises:
        ValueError: not one label for each colour.
    """
    if len(labels) != len(colors):
        raise ValueError(f"{len(labels)} labels for {len(colors)} colours; give one for each")
    font = default_font(size)
    gap, line = round(size * 0.5), round(size * 1.3)
    widest = max((font.getlength(" ".join(label.split())) for label in labels), default=0) + size + 3 * gap
    columns = min(len(labels), max(1, int(width / widest))) or 1
    cell = width // columns
    texts = [wrap(label, font, cell - size - 3 * gap, MOST_LINES) or [""] for label in labels]
    heights = [line * max(map(len, texts[row : row + columns])) + gap // 2 for row in range(0, len(texts), columns)]
    picture = Image.new("RGB", (width, sum(heights) + 2 * gap - gap // 2), PAPER)
    draw, top = ImageDraw.Draw(picture), gap
    for row, height in enumerate(heights):
        for column, lines in enumerate(texts[row * columns : (row + 1) * columns]):
            left, color = column * cell + gap, tuple(np.asarray(colors[row * columns + column]).astype(int).tolist())
            begin = top + (line - size) // 2
            draw.rectangle((left, begin, left + size, begin + size), color, INK, max(1, size // 16))
            for number, text in enumerate(lines):
                draw.text((left + size + gap, top + (number + 0.5) * line), text, INK, font, anchor="lm")
        top += height
    return np.asarray(picture)
