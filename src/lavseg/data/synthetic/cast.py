"""Who may appear in a synthetic clip: pictures and sounds by category, and backgrounds."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .backgrounds import draw_background
from .drawings import draw_picture
from .sounds import play

INSTRUMENTS = ("guitar", "violin", "trumpet", "drum", "keyboard", "flute", "bell", "saxophone", "accordion")
BAND = (*INSTRUMENTS, "dog", "bird", "car")
UNSEEN = ("saxophone", "bird")
SEEN = tuple(name for name in BAND if name not in UNSEEN)


class Cast(Protocol):
    """What synthetic clips are made of.

    Attributes:
        categories: every category, those of the training clips first.
        unseen: the last ones, which training clips never show.
        instruments: those that sentences may call "the instrument".
    """

    categories: tuple[str, ...]
    unseen: tuple[str, ...]
    instruments: tuple[str, ...]

    def picture(self, category: str, choice: float, rng: np.random.Generator, size: int) -> np.ndarray:
        """An upright picture, uint8 RGBA `[h, w, 4]` cropped tightly, its longer side `size` pixels.

        Args:
            choice: which of the category's objects, from 0 to below 1: picture and sound of one choice belong together.
        """

    def sound(self, category: str, choice: float, rng: np.random.Generator, num_samples: int) -> np.ndarray:
        """A phrase that goes on throughout, float32 `[num_samples]` at 16 kHz, root mean square 1; see `picture`."""

    def background(self, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
        """A background, uint8 `[height, width, 3]`."""


@dataclass(frozen=True)
class DrawnBand:
    """Nine instruments, a dog, a bird and a car, drawn and played in code; all are classes of AVSBench."""

    categories: tuple[str, ...] = SEEN + UNSEEN
    unseen: tuple[str, ...] = UNSEEN
    instruments: tuple[str, ...] = INSTRUMENTS

    def picture(self, category: str, choice: float, rng: np.random.Generator, size: int) -> np.ndarray:
        return draw_picture(category, rng, size)

    def sound(self, category: str, choice: float, rng: np.random.Generator, num_samples: int) -> np.ndarray:
        return play(category, rng, num_samples)

    def background(self, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
        return draw_background(rng, height, width)


DRAWN_BAND = DrawnBand()
