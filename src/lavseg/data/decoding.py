"""Every pixel and sample of rows on disk, decoded as training does."""

import itertools
from collections.abc import Callable, Collection, Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from datasets import Dataset, Features
from datasets import IterableDataset as RowStream
from PIL import Image
from pyarrow import ArrowException
from torch import distributed
from torch.utils.data import IterableDataset

from ..error_reasons import reason_of
from .classes import PALETTE
from .file_checks import decode_sound
from .masks import mask_colors
from .tables import DataError


class NamedStream(IterableDataset):
    """Rows of an exported data set for the `DataLoader` of a training, pass after pass without an end, each with the
    number of its pass as `epoch`: where one cannot be read or decoded, the error names its clip or its files.

    Args:
        rows: such as `load_exported(..., streaming=True)` returns, shuffled if they should be, which each pass is anew.

    Raises:
        ValueError: when one of several processes makes it, which would all read the same rows.
    """

    def __init__(self, rows: RowStream):
        check_one_process()
        self.rows, self.features = rows.decode(False), rows.features

    def __iter__(self) -> Iterator[dict]:
        for epoch in itertools.count():
            self.rows.set_epoch(epoch)
            row = None
            for row in read_stream(self.rows):
                yield {**decode_row(self.features, row), "epoch": epoch}
            if row is None:  # a process that reads data beyond the number of files
                return


def check_one_process() -> None:
    """What reads a stream of rows.

    Raises:
        ValueError: in one of several processes, which would all read the same rows.
    """
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        raise ValueError("streaming: is for one process, got several; load the rows whole, or start one")


def read_stream(rows: RowStream) -> Iterator[dict]:
    """The rows of a stream, of which the error says where a file cannot be read."""
    try:
        yield from rows
    except ArrowException as error:
        raise ValueError(f"a file of the stream cannot be read as Parquet: {reason_of(error)}") from error


def decode_row(features: Features, row: dict) -> dict:
    """A row with the images and the sound that `features` names, decoded; an error names its clip."""
    try:
        return features.decode_example(row)
    except Exception as error:  # Pillow's decoders of damaged files raise any
        raise undecodable(row["clip"], error) from error


def undecodable(clip: str, error: Exception) -> ValueError:
    """What is raised in the place of a decoder's `error`."""
    return ValueError(f"clip {clip}: an image cannot be decoded: {reason_of(error)}; copy or download it again")


def undecodable_rows(rows: Dataset) -> list[DataError]:
    """What is wrong with rows of `load_ref_avs` or `load_avsbench` whose files passed without being decoded.

    Every file is decoded once, whatever the number of rows that name it.

    Returns:
        One error for each row with a damaged image or sound, or, where masks say classes, a colour that is none's.
    """
    decode, found = RowDecoder(), []
    columns = {"clip", "frames", "masks", "audio", "has_classes"} & {*rows.column_names}
    for row in without_decoding(rows, columns):
        try:
            decode(row)
        except DataError as error:
            found.append(error)
    return found


class RowDecoder:
    """Decodes the images and the sound of rows, given as `{"path": ..., "bytes": ...}`, each file once.

    Raises:
        DataError: for a damaged image or sound, or, where masks say classes, a colour that is none's.
    """

    def __init__(self):
        self.whole = set()

    def __call__(self, row: dict) -> None:
        clip, has_classes = row["clip"], row.get("has_classes", False)
        for image in row["frames"]:
            self._once(_look_at_image, image, clip, False)
        for image in row["masks"]:
            self._once(_look_at_image, image, clip, has_classes)
        self._once(_look_at_sound, row["audio"], clip)

    def _once(self, look: Callable, file: dict, clip: str, *how: bool) -> None:
        content = file["bytes"]
        key = (file["path"] if content is None else sha256(content).digest(), *how)
        if key not in self.whole:
            look(clip, file["path"], Path(file["path"]) if content is None else content, *how)
            self.whole.add(key)


def without_decoding(rows: Dataset, columns: Collection[str]) -> Iterator[dict]:
    """Rows whose images are given as `{"path": ..., "bytes": ...}`."""
    for table in rows.select_columns(list(columns)).with_format("arrow").iter(batch_size=64):
        yield from table.to_pylist()


def _look_at_image(clip: str, name: str, source: Path | bytes, has_classes: bool) -> None:
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as image:
            image.load()
            colors = mask_colors(image) if has_classes else None
    except Exception as error:  # Pillow's decoders of damaged files raise any
        reason = str(error) or type(error).__name__
        raise DataError("image that cannot be decoded", clip, name, f"{reason}. Copy or download it again.") from error
    if colors is not None:
        known = {tuple(color) for color in PALETTE.tolist()}
        foreign = {tuple(color) for color in np.unique(np.asarray(colors).reshape(-1, 3), axis=0).tolist()} - known
        if foreign:
            raise DataError("colour of no class", clip, name, f"It has {sorted(foreign)[0]}.")


def _look_at_sound(clip: str, name: str, source: Path | bytes) -> None:
    decode_sound(clip, name, source)
