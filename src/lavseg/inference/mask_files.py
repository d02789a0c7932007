"""Files for the masks of one object, written mask by mask: PNG, COCO run-length encoding, npz."""

import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from ..visualization import save_mask


def encode_rle(mask: np.ndarray) -> dict:
    """COCO's compressed run-length encoding of a mask, as pycocotools reads it.

    Runs of zeros and ones in turn, down the columns, beginning with zeros. From the fourth on each is stored as the
    difference to the one before the last, in groups of five bits, the lowest first.

    Args:
        mask: bool `[H, W]`.

    Returns:
        `size`, `[H, W]`, and `counts`, a string.
    """
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.ndim != 2:
        raise ValueError(f"mask is {mask.dtype} {list(mask.shape)}; give bool [H, W]")
    pixels = mask.ravel(order="F")
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    begins = np.concatenate([[0] * (1 + int(pixels[:1].any())), changes, [pixels.size]])
    runs = np.diff(begins)
    values = runs.copy()
    values[3:] -= runs[1:-2]
    # Seven groups hold 35 bits, more than any picture needs.
    groups = values[:, None] >> (5 * np.arange(8))
    # A number ends with the first group whose rest is nothing but its sign.
    sign = (groups[:, :-1] & 16) > 0
    ends = (groups[:, 1:] == np.where(sign, -1, 0)).argmax(1)
    place = np.arange(7)
    letters = (groups[:, :-1] & 31) + 48 + 32 * (place < ends[:, None])
    return {"size": list(mask.shape), "counts": bytes(letters[place <= ends[:, None]].tolist()).decode("ascii")}


class PngMasks:
    """A folder with `00000.png`, `00001.png`, ..., 8 bit, 0 and 255, as Ref-AVS has them."""

    key, suffix = "folder", ""

    def __init__(self, path: Path):
        self.path = path
        self.count = 0
        path.mkdir()

    def write(self, mask: np.ndarray) -> None:
        save_mask(mask, self.path / f"{self.count:05d}.png")
        self.count += 1

    def close(self) -> None:
        """Nothing is left to be done: each mask has its own file."""


class ClassMaps:
    """A folder with `00000.png`, `00001.png`, ..., 8 bit with a palette: a pixel is the number of its class and shows
    the colour of it.

    Args:
        path: the folder, which does not exist.
        colors: 0..255 RGB `[K + 1, 3]`, background first.
    """

    def __init__(self, path: Path, colors: np.ndarray):
        self.path, self.colors, self.count = path, colors.astype(np.uint8).tobytes(), 0
        path.mkdir()

    def write(self, classes: np.ndarray) -> None:
        """Append what a frame shows, uint8 `[H, W]`."""
        picture = Image.fromarray(classes, "P")
        picture.putpalette(self.colors)
        picture.save(self.path / f"{self.count:05d}.png")
        self.count += 1


class RleMasks:
    """A JSON file with a list of what `encode_rle` returns, one entry for each frame."""

    key, suffix = "file", ".json"

    def __init__(self, path: Path):
        self.file = path.open("w", encoding="utf-8")
        self.file.write("[")
        self.separator = "\n"

    def write(self, mask: np.ndarray) -> None:
        self.file.write(self.separator + json.dumps(encode_rle(mask), allow_nan=False))
        self.separator = ",\n"

    def close(self) -> None:
        self.file.write("\n]\n")
        self.file.close()


class NpzMasks:
    """A file for `numpy.load` with one bool array `[H, W]` for each frame, named `00000`, `00001`, ..."""

    key, suffix = "file", ".npz"

    def __init__(self, path: Path):
        self.archive = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self.count = 0

    def write(self, mask: np.ndarray) -> None:
        with self.archive.open(f"{self.count:05d}.npy", "w") as file:
            np.lib.format.write_array(file, mask)
        self.count += 1

    def close(self) -> None:
        self.archive.close()


# By the names that users give them.
MASK_FILES = {"png": PngMasks, "rle": RleMasks, "npz": NpzMasks}
