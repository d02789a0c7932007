"""Tables, images and sounds of a data set on disk, looked at once to see that they are whole."""

import csv
import struct
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from datasets import Dataset, Features, List, Value
from datasets import Image as ImageFeature
from PIL import Image, UnidentifiedImageError

# Columns that the rows of all data sets have.
ROW_FEATURES = Features(
    {
        "id": Value("int64"),
        "uid": Value("string"),
        "vid": Value("string"),
        "clip": Value("string"),
        "object": Value("string"),
        "split": Value("string"),
        "is_null": Value("bool"),
        "text": Value("string"),
        "frames": List(ImageFeature()),
        "audio": {"path": Value("string"), "bytes": Value("binary")},
        "masks": List(ImageFeature()),
    }
)
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_FETCH = "Copy or download it again, or leave such rows out with on_error='skip'."


class DataError(ValueError):
    """A file or a row of a data set is missing or damaged; `reason` says which kind of damage in a few words."""

    def __init__(self, reason: str, clip: str, path: str | Path, advice: str):
        super().__init__(f"clip {clip}: {reason}: {path}. {advice}")
        self.reason = reason


def read_table(path: Path, columns: Sequence[str], beside: str) -> list[dict[str, str]]:
    """Rows of a csv file that has at least these columns.

    Args:
        beside: what else the folder of the data set holds, for the error where there is no such file.
    """
    if not path.is_file():
        raise ValueError(f"root: {path} does not exist; pass the folder that holds {beside}.")
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{path}: columns {', '.join(missing)} are missing, expected {', '.join(columns)}.")
        table = list(reader)
    if not table:
        raise ValueError(f"{path} has no rows.")
    for index, row in enumerate(table):
        if None in row.values():
            raise ValueError(f"{path}, row {index}: got {row}, expected all columns.")
    return table


def build_dataset(
    selected: Sequence[tuple[int, dict[str, str]]],
    load_row: Callable[[int, dict[str, str]], dict],
    features: Features,
    on_error: str,
    name: str,
    table: Path,
) -> Dataset:
    """The rows of a table as a data set, each brought into form by `load_row`.

    Args:
        selected: rows with their numbers in the table.
        load_row: called with number and row; raises `DataError` for what is missing or damaged.
        on_error: `raise` that error, or `skip` such rows with a warning that counts them.
        name: the data set's, with its split, for messages.
        table: where the rows are from, for messages.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error: got {on_error!r}, expected 'raise' or 'skip'.")
    columns: dict[str, list] = {column: [] for column in features}
    failures: list[DataError] = []
    for index, row in selected:
        try:
            values = load_row(index, row)
        except DataError as error:
            if on_error == "raise":
                raise
            failures.append(error)
            continue
        for column, value in values.items():
            columns[column].append(value)
    if len(failures) == len(selected):
        cause = f"all {len(failures)} rows are unreadable, first: {failures[0]}" if failures else "it has no such row"
        raise ValueError(f"split: nothing to load for {name} from {table}: {cause}")
    if failures:
        counts = ", ".join(f"{count} {reason}" for reason, count in Counter(e.reason for e in failures).most_common())
        warnings.warn(
            f"{name}: left out {len(failures)} of {len(selected)} rows ({counts}). First: {failures[0]}", stacklevel=3
        )
    return Dataset.from_dict(columns, features=features)


def numbered_images(clip: str, folder: Path, first: int = 0) -> dict[int, str]:
    """Paths of a folder's images by the number that ends their name, in the order of these numbers from `first` on."""
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
    numbers = sorted(found)
    if numbers != list(range(first, first + len(numbers))):
        raise DataError("missing image", clip, folder, f"Numbers are {numbers}, expected {first} on, no gaps. {_FETCH}")
    sizes = {_check_image(clip, path) for path in found.values()}
    if len(sizes) > 1:
        raise DataError("images of different sizes", clip, folder, f"Sizes are {sorted(sizes)}.")
    return {number: str(found[number]) for number in numbers}


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


def checked_wav(clip: str, path: Path) -> str:
    """Path of a wav file that has a header and as many bytes of sound as this promises."""
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
                return str(path)
            file.seek(length + length % 2, 1)
    raise DataError("damaged sound", clip, path, _FETCH)
