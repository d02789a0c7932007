"""What plays in a user's scenes: cut-outs with their sounds, on photographs or drawn backgrounds."""

import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from .backgrounds import draw_background
from .cast import INSTRUMENTS
from .cut_out_files import find_backgrounds, find_pairs, read_background, read_cut_out, read_sound, scaled

# A scene shows up to four categories. With six or more, a fifth of them is kept for the unseen split.
_FEWEST, _FEWEST_WITH_UNSEEN, _UNSEEN_SHARE = 4, 6, 5
_LISTED_FAULTS = 10
# Bytes of decoded pictures and sounds that are kept.
_MEMORY = 2**28
# Samples from one excerpt that may be chosen to the next.
_STEP = 800
# The least share of a photograph, by its edges, that a background shows.
_CLOSEST = 0.6


class CutOuts:
    """A cast of pictures with transparency and their sounds, see `docs/data.md`.

    Every file is opened and looked at before anything is made of it. Of six categories or more, the last fifth in
    alphabetic order is unseen. Two generators in the same state give a picture and the sound of equal name.

    ```python
    write_ref_avs("composed", {"train": 100, "val": 10}, cast=CutOuts("objects", "photographs"))
    ```

    Args:
        objects: a folder of `<category>/<name>.png`, each with `<category>/<name>.wav`, `.ogg` or `.mp3`. A category
            `acoustic_guitar` is called "acoustic guitar".
        backgrounds: a folder of photographs; None draws backgrounds.

    Raises:
        ValueError: that names up to ten files which are not as they should be, and says what to do.
    """

    def __init__(self, objects: str | Path, backgrounds: str | Path | None = None):
        self._decoded = _Decoded(_MEMORY)
        faults: list[str] = []
        pairs = find_pairs(objects, faults)
        if len(pairs) < _FEWEST:
            faults.append(f"{objects} holds {len(pairs)} folders of categories, give at least {_FEWEST}")
        self._look_at([picture for found in pairs.values() for picture, _ in found], read_cut_out, faults)
        self._look_at([sound for found in pairs.values() for _, sound in found], read_sound, faults)
        _require_none("objects", faults)
        self._pairs = {name.replace("_", " "): found for name, found in pairs.items()}
        self._backgrounds = [] if backgrounds is None else find_backgrounds(backgrounds, faults)
        self._look_at(self._backgrounds, read_background, faults)
        _require_none("backgrounds", faults)

    def _look_at(self, paths: list[Path], read: Callable[[Path], np.ndarray], faults: list[str]) -> None:
        for path in paths:
            try:
                self._decoded(path, read)
            except ValueError as error:
                faults.append(f"{path} {error}")

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(self._pairs)

    @property
    def unseen(self) -> tuple[str, ...]:
        count = len(self.categories)
        return self.categories[-(count // _UNSEEN_SHARE) :] if count >= _FEWEST_WITH_UNSEEN else ()

    @property
    def instruments(self) -> tuple[str, ...]:
        return tuple(name for name in self.categories if not set(INSTRUMENTS).isdisjoint(re.split("[ -]", name)))

    def picture(self, category: str, choice: float, rng: np.random.Generator, size: int) -> np.ndarray:
        """One of the category's pictures, uint8 RGBA `[h, w, 4]`, its longer side `size` pixels."""
        path, _ = self._choose(category, choice)
        return np.asarray(scaled(Image.fromarray(self._decoded(path, read_cut_out)), size))

    def sound(self, category: str, choice: float, rng: np.random.Generator, num_samples: int) -> np.ndarray:
        """One of the category's sounds, float32 `[num_samples]` at 16 kHz, root mean square 1.

        A shorter sound is repeated. Of a longer one an excerpt is taken that is no softer than half of them.
        """
        _, path = self._choose(category, choice)
        waveform = self._decoded(path, read_sound)
        if len(waveform) > num_samples:
            energy = np.cumsum(np.append(0, waveform**2), dtype=np.float64)
            starts = np.arange(0, len(waveform) - num_samples + 1, _STEP)
            energies = energy[starts + num_samples] - energy[starts]
            start = rng.choice(starts[energies >= np.median(energies)])
            waveform = waveform[start : start + num_samples]
        waveform = np.resize(waveform, num_samples)
        return waveform / np.sqrt(np.mean(waveform**2))

    def background(self, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
        """A part of one of the photographs, now and then mirrored, uint8 `[height, width, 3]`."""
        if not self._backgrounds:
            return draw_background(rng, height, width)
        path = self._backgrounds[rng.integers(len(self._backgrounds))]
        image = Image.fromarray(self._decoded(path, read_background))
        scale = rng.uniform(_CLOSEST, 1) * min(image.width / width, image.height / height)
        left = rng.uniform(0, image.width - scale * width)
        top = rng.uniform(0, image.height - scale * height)
        box = (left, top, min(left + scale * width, image.width), min(top + scale * height, image.height))
        shown = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box))
        return shown[:, ::-1] if rng.random() < 0.5 else shown

    def _choose(self, category: str, choice: float) -> tuple[Path, Path]:
        pairs = self._pairs[category]
        return pairs[int(choice * len(pairs))]


class _Decoded:
    """Arrays of files, each decoded once as long as all that are used fit into so many bytes."""

    def __init__(self, memory: int):
        self._memory, self._size = memory, 0
        self._arrays: OrderedDict[Path, np.ndarray] = OrderedDict()

    def __call__(self, path: Path, read: Callable[[Path], np.ndarray]) -> np.ndarray:
        if path not in self._arrays:
            self._arrays[path] = read(path)
            self._size += self._arrays[path].nbytes
        self._arrays.move_to_end(path)
        array = self._arrays[path]
        while self._size > self._memory:
            self._size -= self._arrays.popitem(last=False)[1].nbytes
        return array


def _require_none(argument: str, faults: list[str]) -> None:
    if faults:
        more = len(faults) - _LISTED_FAULTS
        listed = "; ".join(faults[:_LISTED_FAULTS])
        raise ValueError(f"{argument}: {listed}{f'; and {more} more' if more > 0 else ''}")
