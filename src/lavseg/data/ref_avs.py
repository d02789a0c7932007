"""The Ref-AVS data set from disk (Wang et al., "Ref-AVS: Refer and Segment Objects in Audio-Visual Scenes", 2024)."""

import csv
import struct
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from datasets import Dataset, Features, List, Value
from datasets import Image as ImageFeature
from PIL import Image, UnidentifiedImageError

SPLITS = ("train", "val", "test_s", "test_u", "test_n", "TODO")
MASK_RESIZES = ("nearest", "bilinear_gt0")
_COLUMNS = ("vid", "uid", "split", "fid", "exp")
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_FEATURES = Features(
    {
        "id": Value("int64"),
        "uid": Value("string"),
        "vid": Value("string"),
        "clip": Value("string"),
        "object": Value("string"),
        "fid": Value("int64"),
        "split": Value("string"),
        "is_null": Value("bool"),
        "text": Value("string"),
        "frames": List(ImageFeature()),
        "audio": {"path": Value("string"), "bytes": Value("binary")},
        "masks": List(ImageFeature()),
    }
)


class DataError(ValueError):
    """A file or a row of a data set is missing or damaged; `reason` says which kind of damage in a few words."""

    def __init__(self, reason: str, clip: str, path: str | Path, advice: str):
        super().__init__(f"clip {clip}: {reason}: {path}. {advice}")
        self.reason = reason


def load_ref_avs(root: str | Path, split: str, novel_unseen_only: bool = False, on_error: str = "raise") -> Dataset:
    """One row an expression, in the order of `metadata.csv`, images and sound as paths until they are read.

    Columns: `id` (row of the csv; `uid` is not a key), `uid`, `vid`, `clip` (the folder, which differs from `vid` for
    null rows), `object`, `fid`, `split`, `is_null`, `text` (verbatim), `frames` (`T` images), `audio` (struct of path
    and bytes), `masks` (`T` images, or none for null rows: nothing is to be segmented; see `row_masks`).

    Args:
        root: the folder that holds `metadata.csv`, `media` and `gt_mask`.
        split: train, val, test_s (seen), test_u (unseen), test_n (null), or TODO, which the papers leave out.
        novel_unseen_only: of test_u keep only the objects that train never names: 1,454 rows of the official 1,656, the
            paper's number.
        on_error: `raise` a `DataError` at the first missing or damaged file, or `skip` such rows with a warning that
            counts them.
    """
    root = Path(root)
    if split not in SPLITS:
        raise ValueError(f"split: got {split!r}, expected one of {', '.join(SPLITS)}.")
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error: got {on_error!r}, expected 'raise' or 'skip'.")
    if novel_unseen_only and split != "test_u":
        raise ValueError(f"novel_unseen_only: applies to split test_u only, got split {split!r}.")
    table = _read_metadata(root / "metadata.csv")
    trained = {_object(row) for row in table if row["split"] == "train"} - {"null"}
    files = _Files(root)
    rows: dict[str, list] = {name: [] for name in _FEATURES}
    failures: list[DataError] = []
    for index, row in enumerate(table):
        if row["split"] != split or (novel_unseen_only and _object(row) in trained):
            continue
        try:
            values = _load_row(files, index, row)
        except DataError as error:
            if on_error == "raise":
                raise
            failures.append(error)
            continue
        for name, value in values.items():
            rows[name].append(value)
    if not rows["id"]:
        cause = f"all {len(failures)} rows are unreadable, first: {failures[0]}" if failures else "it has no such row"
        raise ValueError(f"split: nothing to load for {split!r} from {root / 'metadata.csv'}: {cause}")
    if failures:
        counts = ", ".join(f"{count} {reason}" for reason, count in Counter(e.reason for e in failures).most_common())
        warnings.warn(
            f"Ref-AVS {split}: left out {len(failures)} of {len(failures) + len(rows['id'])} rows ({counts}). "
            f"First: {failures[0]}",
            stacklevel=2,
        )
    return Dataset.from_dict(rows, features=_FEATURES)


def row_masks(row: dict, size: tuple[int, int] | None = None, mask_resize: str = "nearest") -> np.ndarray:
    """Masks of one row of `load_ref_avs`, uint8 0/1 `[T, h, w]`; blank for null rows.

    `size` is height and width; None takes the size of the frames.
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
    if not images:
        raise ValueError("images: got none, expected one mask image a frame.")
    height, width = size
    gray = [image.convert("L") for image in images]
    if mask_resize == "nearest":
        gray = [image.resize((width, height), Image.Resampling.NEAREST) for image in gray]
    levels = np.stack([np.asarray(image) for image in gray])
    if mask_resize == "bilinear_gt0":
        levels = _resize_bilinear(levels, height, width)
    return (levels > 0).astype(np.uint8)


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


def _read_metadata(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise ValueError(f"root: {path} does not exist; pass the folder that holds metadata.csv, media and gt_mask.")
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{path}: columns {', '.join(missing)} are missing, expected {', '.join(_COLUMNS)}.")
        table = list(reader)
    if not table:
        raise ValueError(f"{path} has no rows.")
    for index, row in enumerate(table):
        if None in row.values() or row["uid"].count("_") < 2 or not row["fid"].isdecimal():
            raise ValueError(
                f"{path}, row {index}: got {row}, expected all columns, uid <clip>_<object>_<number>, an integer fid."
            )
    return table


def _object(row: dict[str, str]) -> str:
    return row["uid"].rsplit("_", 2)[1]


def _load_row(files: "_Files", index: int, row: dict[str, str]) -> dict:
    clip, name, _ = row["uid"].rsplit("_", 2)
    is_null = name == "null"
    frames = files.frames(clip)
    masks = {} if is_null else files.masks(clip, int(row["fid"]))
    if not is_null and masks.keys() != frames.keys():
        raise DataError(
            "frames and masks differ",
            clip,
            files.mask_folder(clip, int(row["fid"])),
            f"Frames are {list(frames)}, masks are {list(masks)}.",
        )
    return {
        "id": index,
        "uid": row["uid"],
        "vid": row["vid"],
        "clip": clip,
        "object": name,
        "fid": int(row["fid"]),
        "split": row["split"],
        "is_null": is_null,
        "text": row["exp"],
        "frames": list(frames.values()),
        "audio": {"path": files.audio(clip), "bytes": None},
        "masks": list(masks.values()),
    }


class _Files:
    """Paths of a clip's files, each looked at once to see that it is whole."""

    def __init__(self, root: Path):
        self.root = root
        self.frames = cache(self._frames)
        self.masks = cache(self._masks)
        self.audio = cache(self._audio)

    def mask_folder(self, clip: str, fid: int) -> Path:
        return self.root / "gt_mask" / clip / f"fid_{fid}"

    def _frames(self, clip: str) -> dict[int, str]:
        return _images(clip, self.root / "media" / clip / "frames")

    def _masks(self, clip: str, fid: int) -> dict[int, str]:
        return _images(clip, self.mask_folder(clip, fid))

    def _audio(self, clip: str) -> str:
        path = self.root / "media" / clip / "audio.wav"
        _check_wav(clip, path)
        return str(path)


_FETCH = "Copy or download it again, or leave such rows out with on_error='skip'."


def _images(clip: str, folder: Path) -> dict[int, str]:
    """Images of a folder by the number that ends their name, in the order of these numbers."""
    if not folder.is_dir():
        raise DataError("missing folder", clip, folder, _FETCH)
    found = {}
    for path in folder.iterdir():
        if path.suffix.lower() in _IMAGE_SUFFIXES:
            number = path.stem.rsplit("_", 1)[-1]
            if not number.isdecimal():
                raise DataError("unnumbered image", clip, path, "Names must end in the number of the frame.")
            found[int(number)] = path
    if not found:
        raise DataError("folder without images", clip, folder, _FETCH)
    gaps = sorted(set(range(max(found))) - set(found))
    if gaps:
        raise DataError("missing image", clip, folder, f"Numbers {gaps} are not there. {_FETCH}")
    sizes = {_check_image(clip, path) for path in found.values()}
    if len(sizes) > 1:
        raise DataError("images of different sizes", clip, folder, f"Sizes are {sorted(sizes)}.")
    return {number: str(found[number]) for number in sorted(found)}


def _check_image(clip: str, path: Path) -> tuple[int, int]:
    """Size of an image that has its header and its end; pixels are not decoded."""
    if path.stat().st_size == 0:
        raise DataError("empty file", clip, path, _FETCH)
    try:
        with Image.open(path) as image:
            size, is_jpeg = image.size, image.format == "JPEG"
            if not is_jpeg:
                image.verify()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DataError("damaged image", clip, path, _FETCH) from error
    if is_jpeg:
        with path.open("rb") as file:
            file.seek(-min(path.stat().st_size, 4096), 2)
            if b"\xff\xd9" not in file.read():
                raise DataError("truncated image", clip, path, _FETCH)
    return size


def _check_wav(clip: str, path: Path) -> None:
    """A wav file has a header and as many bytes of sound as this promises."""
    if not path.is_file():
        raise DataError("missing file", clip, path, _FETCH)
    size = path.stat().st_size
    if size == 0:
        raise DataError("empty file", clip, path, _FETCH)
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            raise DataError("damaged sound", clip, path, _FETCH)
        while len(header := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", header)
            if name == b"data":
                if length == 0 or (length != 0xFFFFFFFF and file.tell() + length > size):
                    raise DataError("truncated sound", clip, path, _FETCH)
                return
            file.seek(length + length % 2, 1)
    raise DataError("damaged sound", clip, path, _FETCH)
