"""Rows of a data set for a `DataLoader`, clip by clip: what the rows about one clip share is read once."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from itertools import islice

from datasets import Dataset
from torch.utils.data import Dataset as TorchDataset

from .decoding import undecodable

# What says which clip a row is about, beside its frames: AVSBench's subsets show some clips in several forms.
_CLIP = ("subset", "clip")
_SHARED = ("frames", "audio")
_ROWS_AT_A_TIME = 256


def clips_of(rows: Dataset | Sequence[dict]) -> list[Hashable]:
    """Of each row what only the rows about the same clip have; rows of no `Dataset` are clips each."""
    if not isinstance(rows, Dataset):
        return list(range(len(rows)))
    names = [name for name in _CLIP if name in rows.column_names]
    found = []
    for table in rows.select_columns([*names, "frames"]).with_format("arrow").iter(_ROWS_AT_A_TIME):
        frames = table["frames"].combine_chunks()
        # Without the images, which lie beside the paths where the data set was exported.
        paths = iter(frames.flatten().field("path").to_pylist())
        shown = (tuple(islice(paths, length)) for length in frames.value_lengths().to_pylist())
        found += zip(*(table[name].to_pylist() for name in names), shown, strict=True)
    return found


def group_by_clip(rows: Dataset | Sequence[dict], sentences: int) -> list[list[int]]:
    """Numbers of the rows about each clip, up to `sentences` together, ordered by the first of them."""
    numbers = defaultdict(list)
    for number, clip in enumerate(clips_of(rows)):
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
