"""Rows of a data set for a `DataLoader`, clip by clip: what the rows about one clip share is read once."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any

import pyarrow as pa
from datasets import Dataset, Features
from datasets import IterableDataset as RowStream
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import IterableDataset

from .decoding import check_one_process, decode_row, read_stream, undecodable

# What says which clip a row is about, beside its frames: AVSBench's subsets show some clips in several forms.
_CLIP = ("subset", "clip")
_SHARED = ("frames", "audio")
_ROWS_AT_A_TIME = 256


def column(row: dict, name: str, reader: str) -> Any:
    """What a row has in a column that not everything needs.

    Raises:
        ValueError: that names the column and its `reader`, where it is missing.
    """
    if name not in row:
        raise ValueError(f"{name}: missing in a row, which has {', '.join(row)}; {reader} needs this column")
    return row[name]


def clips_of(rows: Dataset | Sequence[dict]) -> list[Hashable]:
    """Of each row what only the rows about the same clip have; rows of no `Dataset` are clips each."""
    if not isinstance(rows, Dataset):
        return list(range(len(rows)))
    names = [name for name in _CLIP if name in rows.column_names]
    found = []
    for table in rows.select_columns([*names, "frames"]).with_format("arrow").iter(_ROWS_AT_A_TIME):
        shown = [paths for chunk in table["frames"].chunks for paths in _paths(chunk)]
        found += zip(*(table[name].to_pylist() for name in names), shown, strict=True)
    return found


def _paths(frames: pa.ListArray) -> Iterator[tuple[str, ...]]:
    """Of each row the paths of its frames, without the images, which lie beside them where the data were exported."""
    paths = iter(frames.flatten().field("path").to_pylist())
    return (tuple(islice(paths, length)) for length in frames.value_lengths().to_pylist())


def group_by_clip(rows: "NamedRows | Dataset | Sequence[dict]", sentences: int) -> list[list[int]]:
    """Numbers of the rows about each clip, up to `sentences` together, ordered by the first of them."""
    numbers = defaultdict(list)
    for number, clip in enumerate(rows.clips if isinstance(rows, NamedRows) else clips_of(rows)):
        numbers[clip].append(number)
    parts = [found[at : at + sentences] for found in numbers.values() for at in range(0, len(found), sentences)]
    return sorted(parts)


class NamedRows(TorchDataset):
    """Rows of a data set: where one cannot be decoded, the error names its clip. Of rows that are asked for together,
    those about one clip hold the same frames and sound, which are read once."""

    def __init__(self, rows: Dataset | Sequence[dict]):
        self.rows, self.clips = rows, clips_of(rows)
        self._own = rows.remove_columns(_SHARED) if isinstance(rows, Dataset) else rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[dict]:
        first, found = {}, []
        for number in numbers:
            known = first.get(self.clips[number])
            if known is None:
                row = first[self.clips[number]] = self._read(self.rows, number)
            else:
                row = {**self._read(self._own, number), **{name: known[name] for name in _SHARED}}
            found.append(row)
        return found

    def _read(self, rows: Dataset | Sequence[dict], number: int) -> dict:
        try:
            return rows[number]
        except Exception as error:  # Pillow's decoders of damaged files raise any
            raise undecodable(self.rows.select_columns("clip")[number]["clip"], error) from error


class ClipStream(IterableDataset):
    """Rows of an exported data set as they come, with their numbers: those that follow one another and are about one
    clip together, up to `sentences`, as a list of one clip. Their frames and sound are the same, decoded once.

    Args:
        rows: such as `load_exported(..., streaming=True)` returns.

    Raises:
        ValueError: in one of several processes, which would all read the same rows.
    """

    def __init__(self, rows: RowStream, sentences: int):
        check_one_process()
        self.rows, self.features, self.sentences = rows.decode(False), rows.features, sentences
        self._own = Features({name: feature for name, feature in rows.features.items() if name not in _SHARED})

    def __iter__(self) -> Iterator[tuple[list[int], list[list[dict]]]]:
        for _, found in groupby(enumerate(read_stream(self.rows)), lambda item: self._clip(item[1])):
            while part := list(islice(found, self.sentences)):
                numbers, rows = zip(*part, strict=True)
                yield list(numbers), [self._decode(rows)]

    def _clip(self, row: dict) -> Hashable:
        return *(row[name] for name in _CLIP if name in row), *(frame["path"] for frame in row["frames"])

    def _decode(self, rows: Sequence[dict]) -> list[dict]:
        first = decode_row(self.features, rows[0])
        shared = {name: first[name] for name in _SHARED}
        others = ({name: row[name] for name in self._own} for row in rows[1:])
        return [first, *({**decode_row(self._own, row), **shared} for row in others)]
