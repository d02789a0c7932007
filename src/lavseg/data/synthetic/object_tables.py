"""The table of a synthetic data set that says what each clip shows, and when it sounds."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .scene import SceneObject

_FILE = "objects.csv"


class ClipObject(NamedTuple):
    """One object of a written clip of `T` frames.

    Attributes:
        clip: name of the clip, as in the rows of the data set.
        fid: number of the folder of its masks, which is there if a sentence means it.
        category: what it is.
        x: where its centre is at first, as a share of the frame's width.
        level: root mean square of its sound while it sounds, full scale being 1.
        seconds: bool `[T]`, when it sounds.
    """

    clip: str
    fid: int
    category: str
    x: float
    level: float
    seconds: np.ndarray


def clip_object(clip: str, fid: int, item: SceneObject) -> ClipObject:
    """What the table says of an object of a scene."""
    return ClipObject(clip, fid, item.category, float(item.centers[0, 1]), item.level, item.seconds)


def write_objects(root: Path, objects: Iterable[ClipObject]) -> None:
    """Write the table of the folder `root`."""
    with (root / _FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(ClipObject._fields)
        for item in objects:
            seconds = "".join(map(str, item.seconds.astype(int)))
            writer.writerow([item.clip, item.fid, item.category, f"{item.x:.4f}", f"{item.level:.5f}", seconds])


def clip_objects(root: str | Path) -> dict[str, list[ClipObject]]:
    """The objects of each clip in a folder of `write_ref_avs`, back to front.

    Raises:
        ValueError: `root` is no such folder.
    """
    path, found = Path(root) / _FILE, {}
    if not path.is_file():
        raise ValueError(f"root: {root} has no {_FILE}; only folders written by write_ref_avs have one.")
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            seconds = np.array([letter == "1" for letter in row["seconds"]])
            values = (int(row["fid"]), row["category"], float(row["x"]), float(row["level"]), seconds)
            found.setdefault(row["clip"], []).append(ClipObject(row["clip"], *values))
    return found
