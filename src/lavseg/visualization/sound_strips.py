"""The sound of a clip as a picture: its loudness over time."""

import numpy as np
from PIL import Image, ImageDraw

from .legends import PAPER, SOFT, default_font

# A strip shows so many seconds, with a number at every second one.
PAGE_SECONDS, TICK_SECONDS = 10, 2
PAST, NOW, LANE = (150, 156, 170), (20, 24, 32), (240, 242, 246)


def peaks(waveform: np.ndarray, count: int) -> np.ndarray:
    """The largest value in each of `count` equal parts of a waveform `[channels, samples]`; zeros if it is empty."""
    if not waveform.shape[-1]:
        return np.zeros(count)
    begins = np.linspace(0, waveform.shape[1], count, endpoint=False).astype(int)
    return np.maximum.reduceat(np.abs(waveform).max(0), begins)


def loudness(waveform: np.ndarray, count: int) -> np.ndarray:
    """How high each of `count` equal parts of a waveform is drawn: 0 in silence, 1 for full scale, and soft sounds
    higher than in proportion, so that they are seen."""
    return np.sqrt(np.minimum(peaks(waveform, count), 1))


def draw_sound(lane: np.ndarray, heights: np.ndarray, color: tuple[int, int, int]) -> None:
    """Draw a bar from the middle up and down into each column of a picture, which changes.

    Args:
        lane: uint8 `[H, n, 3]`.
        heights: 0..1 `[n]`; nothing is a line.
        color: RGB of the bars.
    """
    middle = (len(lane) - 1) / 2
    away = np.abs(np.arange(len(lane)) - middle)[:, None]
    lane[:] = LANE
    lane[away <= np.maximum(0.5, 0.9 * middle * heights)] = color


class SoundStrip:
    """The sound of a video up to each of its frames: ten seconds that fill, and begin anew.

    Args:
        width: pixels of the picture.
        size: pixels of the font, which the height follows.
        fps: frames per second.
    """

    def __init__(self, width: int, size: int, fps: float):
        self.fps, self.size, self.height = fps, size, 3 * size
        self.index, self.page = 0, -1
        self.heights = np.zeros(width)
        self.picture = np.zeros((0, width, 3), np.uint8)
        self.now = slice(0, 0)

    def add(self, waveform: np.ndarray) -> np.ndarray:
        """The picture, uint8 `[H, width, 3]`, in which the sound `[channels, samples]` under the next frame is dark."""
        width, second = len(self.heights), self.index / self.fps
        page = int(second / PAGE_SECONDS + 1e-9)
        if page != self.page:
            self._turn(page)
        begin, end = (
            round((time - page * PAGE_SECONDS) / PAGE_SECONDS * width) for time in (second, second + 1 / self.fps)
        )
        begin = min(begin, width - 1)
        lane = self.picture[: self.height]
        draw_sound(lane[:, self.now], self.heights[self.now], PAST)
        self.now = slice(begin, min(width, max(end, begin + 1)))
        count = self.now.stop - self.now.start
        self.heights[self.now] = np.maximum(self.heights[self.now], loudness(waveform, count))
        draw_sound(lane[:, self.now], self.heights[self.now], NOW)
        self.index += 1
        return self.picture

    def _turn(self, page: int) -> None:
        """Begin with the ten seconds of a number."""
        width, font = len(self.heights), default_font(round(self.size * 0.8))
        picture = Image.new("RGB", (width, self.height + round(self.size * 1.3)), PAPER)
        draw = ImageDraw.Draw(picture)
        for second in range(0, PAGE_SECONDS, TICK_SECONDS):
            left = second / PAGE_SECONDS * width
            draw.line((left, self.height, left, picture.height), SOFT)
            place = (left + self.size * 0.3, self.height + self.size * 0.65)
            draw.text(place, f"{page * PAGE_SECONDS + second} s", SOFT, font, anchor="lm")
        self.picture = np.array(picture)
        self.heights[:] = 0
        self.page, self.now = page, slice(0, 0)
        draw_sound(self.picture[: self.height], self.heights, LANE)
