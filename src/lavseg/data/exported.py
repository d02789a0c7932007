"""Data sets as `lavseg data export` leaves them, Parquet files with everything inside, in a folder or on the Hub."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENAMETOOLONG
from glob import escape
from pathlib import Path

import pyarrow.parquet as pq
from datasets import Dataset, Features, IterableDataset, config, load_dataset
from datasets.utils.file_utils import xopen
from huggingface_hub import HfApi
from pyarrow import ArrowException

from ..error_reasons import reason_of
from ..hub.hub_errors import HUB_ERRORS
from . import avsbench, ref_avs
from .tables import ROW_FEATURES

# As `datasets` names the files of a split; what lies in no folder of a subset is in `data`.
_FILE = re.compile(r"(?:(?P<folder>[^/]+)/)?(?P<split>\w+)-\d+-of-(?P<count>\d+)(-\w+)?\.parquet")
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_FEATURES = {"ref_avs": ref_avs.FEATURES, "avsbench": avsbench.FEATURES}


@dataclass(frozen=True)
class ExportedSplit:
    """A split of a data set, and the Parquet files, paths or addresses on the Hub, that hold its rows in order.

    Attributes:
        layout: "ref_avs" or "avsbench", whose columns the rows have.
        subset: one of AVSBench's; None for Ref-AVS.
        split: its name.
        files: of which there is at least one.
    """

    layout: str
    subset: str | None
    split: str
    files: tuple[str, ...]

    def count_rows(self) -> int:
        """Number of rows, from the ends of the files."""
        counts = []
        for file in self.files:
            with _opened(file) as found:
                counts.append(found.metadata.num_rows)
        return sum(counts)

    def stream(self) -> IterableDataset:
        """The rows one after the other, without a copy on disk."""
        return load_parts([self], streaming=True)


def load_exported(
    root: str | Path, split: str, subsets: str | Sequence[str] = (), streaming: bool = False
) -> Dataset | IterableDataset:
    """Rows of one split of a data set that was exported, with the columns of [`load_ref_avs`] or [`load_avsbench`].

    Frames, masks and sound are those files' bytes. They were looked at when they were exported and are not looked at
    again: `lavseg data check` does. `datasets` keeps an unpacked copy of what is not streamed in its cache
    (`HF_DATASETS_CACHE`).

    ```python
    rows = load_exported("runs/exported", "train")
    stream = load_exported("ORG/NAME", "train", "v2", streaming=True).shuffle(seed=0, buffer_size=256)
    ```

    Args:
        root: the folder that `lavseg data export` wrote, a copy of such a data set from the Hub, or its Hub id.
        split: one of those that were exported.
        subsets: of AVSBench, one or several to join.
        streaming: read row after row while they are asked for, and keep nothing; rows cannot be asked for by number.

    Raises:
        ValueError: when there is no such data set, subset or split, or a file is none of this package's.
    """
    subsets = [subsets] if isinstance(subsets, str) else subsets
    return load_parts(choose_splits(root, exported_splits(root), split, subsets), streaming)


def choose_splits(
    root: str | Path, found: Sequence[ExportedSplit], split: str, subsets: Sequence[str]
) -> list[ExportedSplit]:
    """Of what [`exported_splits`] found in `root`, one split of some subsets.

    Raises:
        ValueError: when one is not there.
    """
    listed = list(dict.fromkeys(part.subset for part in found))
    chosen = []
    for subset in subsets or [None]:
        if subset not in listed:
            raise ValueError(f"subset: got {subset}, {root} has {', '.join(map(str, listed))}")
        present = {part.split: part for part in found if part.subset == subset}
        if split not in present:
            raise ValueError(f"split: {root} lists no {split}, only {', '.join(present)}")
        chosen.append(present[split])
    return chosen


def exported_splits(root: str | Path) -> list[ExportedSplit]:
    """What a folder or a data set on the Hub holds of what `lavseg data export` writes; nothing where no file has its
    name.

    Raises:
        ValueError: when there is no such folder or data set, or a file is missing or not of this package's.
    """
    if not Path(root).is_dir() and not _HUB_ID.fullmatch(str(root)):
        raise ValueError(f"root: there is no folder {root}; give one, or the Hub id ORG/NAME of an exported data set")
    files = _files_here(Path(root)) if Path(root).is_dir() else _files_on_the_hub(str(root))
    grouped, counts = defaultdict(list), defaultdict(set)
    for name, file in sorted(files.items()):
        if match := _FILE.fullmatch(name):
            key = match["folder"] or "", match["split"]
            grouped[key].append(file)
            counts[key].add(int(match["count"]))
    for (folder, split), found in grouped.items():
        if counts[folder, split] != {len(found)}:
            whole = " or ".join(map(str, sorted(counts[folder, split])))
            raise ValueError(
                f"root: {Path(root) / folder} holds {len(found)} of {whole} files of {split}; copy or download it again"
            )
    return [ExportedSplit(*_kind(found[0]), split, tuple(found)) for (_, split), found in grouped.items()]


def _files_here(folder: Path) -> dict[str, str]:
    found = [*folder.glob("*.parquet"), *folder.glob("*/*.parquet")]
    return {path.relative_to(folder).as_posix(): str(path) for path in found}


def _files_on_the_hub(name: str) -> dict[str, str]:
    try:
        info = HfApi().dataset_info(name)
    except (*HUB_ERRORS, OSError, ValueError) as error:
        reason = reason_of(error).split(". ")[0].rstrip(".")
        raise ValueError(
            f"root: there is no folder {name}, and no such data set can be had from the Hub ({reason})"
        ) from error
    return {file.rfilename: f"hf://datasets/{name}@{info.sha}/{file.rfilename}" for file in info.siblings}


def _kind(file: str) -> tuple[str, str | None]:
    """The layout whose columns a file has, and the subset that its first row names."""
    with _opened(file) as found:
        columns = set(found.schema_arrow.names)
        layout = next((layout for layout, features in _FEATURES.items() if columns >= features.keys()), None)
        if layout is None or not found.metadata.num_rows:
            missing = ", ".join(sorted(ROW_FEATURES.keys() - columns))
            raise ValueError(
                f"root: {file} was not written by `lavseg data export`, it "
                + (f"lacks the columns {missing}" if missing else "has no rows, or columns of neither data set")
            )
        subset = found.read_row_group(0, columns=["subset"])["subset"][0].as_py() if layout == "avsbench" else None
    return layout, subset


@contextmanager
def _opened(file: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file of which the end has been read."""
    try:
        with xopen(file, "rb") as content:
            yield pq.ParquetFile(content)
    except (*HUB_ERRORS, OSError, ArrowException) as error:
        raise _unreadable(file, error) from error


def load_parts(parts: Sequence[ExportedSplit], streaming: bool) -> Dataset | IterableDataset:
    """The rows of all parts, which are of one layout, one after the other.

    Raises:
        ValueError: when a file cannot be read, or the cache cannot be written.
    """
    files = [file for part in parts for file in part.files]
    split, features = parts[0].split, Features(_FEATURES[parts[0].layout])
    patterns = [file if file.startswith("hf://") else escape(file) for file in files]
    try:
        return load_dataset(
            "parquet", data_files={split: patterns}, split=split, features=features, streaming=streaming
        )
    except Exception as error:  # what is wrong with a file shows anywhere in `datasets`
        if isinstance(error, OSError) and error.errno == ENAMETOOLONG:
            raise ValueError(
                f"HF_DATASETS_CACHE: the path {config.HF_DATASETS_CACHE} is too long, as `datasets` names a file after "
                "it; set this environment variable to a folder with a shorter path"
            ) from error
        others = f" or one of {len(files) - 1} further files" if files[1:] else ""
        raise _unreadable(files[0] + others, error.__cause__ or error) from error


def _unreadable(file: str, error: BaseException) -> ValueError:
    return ValueError(f"root: {file} cannot be read as Parquet ({reason_of(error)}); copy or download it again")
