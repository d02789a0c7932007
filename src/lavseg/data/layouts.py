"""Data sets on disk by the name of their layout: rows of a split, a report on the whole, and copies as Parquet."""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from datasets import Audio, Dataset, IterableDataset, concatenate_datasets
from datasets.table import embed_table_storage
from pyarrow.compute import list_element

from ..hub.hub_errors import HUB_ERRORS, refusal
from ..output_folders import check_new_folder, staged_folder
from . import avsbench
from .classes import CLASSES
from .decoding import undecodable_rows
from .exported import ExportedSplit, choose_splits, exported_splits, load_parts
from .exported_checks import look_through
from .file_checks import shown_size
from .ref_avs import load_ref_avs
from .tables import as_root, read_table, summary

DATASETS = ("ref_avs", "avsbench")

# Rows per Parquet file: those of Ref-AVS weigh about a megabyte each.
_ROWS_PER_FILE = 256


def _exported(root: str | Path, dataset: str | None) -> list[ExportedSplit]:
    """Splits of an exported data set, nothing for one with tables.

    Args:
        dataset: the layout that is expected, if one is.
    """
    layout = known_layout(dataset) if dataset else None
    if _layout_of_tables(as_root(root)):
        return []
    found = exported_splits(root)
    if found and layout not in (None, found[0].layout):
        raise ValueError(f"dataset: got {dataset!r}, {root} holds {found[0].layout}")
    return found


def _exported_parts(
    root: str | Path, split: str, dataset: str, subsets: Sequence[str], streaming: bool
) -> list[ExportedSplit]:
    """What [`load_rows`] loads of an exported data set, nothing of one with tables."""
    layout = known_layout(dataset)
    if layout == "ref_avs" and subsets:
        raise ValueError(f"subset: Ref-AVS has none, got {', '.join(subsets)}")
    if layout == "avsbench" and not subsets:
        raise ValueError(f"subset: missing; AVSBench consists of {', '.join(avsbench.SUBSETS)}")
    if found := _exported(root, layout):
        return choose_splits(root, found, split, subsets)
    if streaming:
        raise ValueError(f"streaming: is for what `lavseg data export` wrote, and {root} holds none of that")
    return []


def load_rows(
    root: str | Path,
    split: str,
    dataset: str = "ref_avs",
    subsets: Sequence[str] = (),
    on_error: str = "raise",
    streaming: bool = False,
) -> Dataset | IterableDataset:
    """Rows of one split of a data set, see [`load_ref_avs`], [`load_avsbench`] and [`load_exported`].

    Args:
        root: the data set's folder as its authors hand it out or as it was exported, or the Hub id of an exported one.
        split: one of its splits.
        dataset: its layout, "ref_avs" or "avsbench".
        subsets: for AVSBench, one or several to join; Ref-AVS has none.
        on_error: `raise` at the first missing or damaged file, or `skip` such rows with a warning; exported ones are
            not looked at.
        streaming: read an exported one row after row.

    Raises:
        ValueError: when these do not fit together or there is nothing to load.
    """
    if parts := _exported_parts(root, split, dataset, subsets, streaming):
        return load_parts(parts, streaming)
    if known_layout(dataset) == "ref_avs":
        return load_ref_avs(root, split, on_error=on_error)
    return concatenate_datasets([avsbench.load_avsbench(root, name, split, on_error=on_error) for name in subsets])


def load_counted_rows(
    root: str | Path, split: str, dataset: str = "ref_avs", subsets: Sequence[str] = (), streaming: bool = False
) -> tuple[Dataset | IterableDataset, int]:
    """What [`load_rows`] gives for these arguments, and the number of rows; a stream's is read from the ends of the
    files."""
    if not streaming:
        rows = load_rows(root, split, dataset, subsets)
        return rows, len(rows)
    parts = _exported_parts(root, split, dataset, subsets, streaming)
    return load_parts(parts, streaming), sum(part.count_rows() for part in parts)


def class_names(dataset: str, subsets: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of the classes that the masks of a data set's rows say, background first; none where they say no class.

    Args:
        dataset, subsets: see [`load_rows`].
    """
    semantic = known_layout(dataset) == "avsbench" and subsets and all(name.startswith("v") for name in subsets)
    return CLASSES if semantic else ()


def known_layout(dataset: str) -> str:
    """One of `DATASETS` by its name, with hyphens or underscores; an error for any other."""
    name = dataset.replace("-", "_")
    if name not in DATASETS:
        raise ValueError(f"dataset: got {dataset!r}, expected one of {', '.join(DATASETS)}")
    return name


def layout_of(root: str | Path) -> str:
    """The layout that a folder's tables have, or the rows of an exported data set, one of `DATASETS`.

    Raises:
        ValueError: when it is neither's.
    """
    if exported := _exported(root, None):
        return exported[0].layout
    if layout := _layout_of_tables(as_root(root)):
        return layout
    raise ValueError(
        f"root: {root} is neither Ref-AVS (metadata.csv with media and gt_mask beside it) nor AVSBench (Single-source, "
        "Multi-sources, or metadata.csv with v1s, v1m and v2 beside it), nor holds it Parquet files of `lavseg data "
        "export`"
    )


def _layout_of_tables(root: Path) -> str | None:
    table = root / "metadata.csv"
    if table.is_file():
        with table.open("rb") as file:
            # Whatever else is wrong with the table, the reader says it.
            if b"exp" in file.readline(1000).replace(b"\0", b""):
                return "ref_avs"
    if any(avsbench.table_of(root, subset)[0].is_file() for subset in avsbench.SUBSETS):
        return "avsbench"
    return None


@dataclass(frozen=True)
class SplitReport:
    """What a split holds.

    Attributes:
        subset: one of AVSBench's; None for Ref-AVS.
        split: its name.
        rows: listed in the table.
        readable: those of them whose files are all there and whole.
        clips: different clips among the rows whose headers are readable.
        nulls: rows, of these, whose sentence means nothing in the clip.
        sizes: different sizes of frames among these; where there are several, batches need a `label_size`.
        fault: what is wrong with the other rows, counted by kind, with the first of them; None where all are readable.
    """

    subset: str | None
    split: str
    rows: int
    readable: int
    clips: int
    nulls: int
    sizes: int
    fault: str | None


def listed_splits(root: str | Path, dataset: str | None = None) -> list[tuple[str | None, str, int]]:
    """Subset (None for Ref-AVS), split and number of rows of all that a data set's tables list, or that was exported.

    Args:
        root: see [`load_rows`].
        dataset: its layout; by default the one that it has.

    Raises:
        ValueError: when there is no such folder, or its tables are not a data set's.
    """
    if exported := _exported(root, dataset):
        return [(part.subset, part.split, part.count_rows()) for part in exported]
    root = as_root(root)
    if (known_layout(dataset) if dataset else layout_of(root)) == "ref_avs":
        table = read_table(root / "metadata.csv", ("split", "exp"), "metadata.csv, media and gt_mask")
        return [(None, split, rows) for split, rows in Counter(row["split"] for row in table).items()]
    found = []
    for subset in avsbench.SUBSETS:
        path, columns, beside = avsbench.table_of(root, subset)
        if path.is_file():
            rows = [row for row in read_table(path, columns, beside) if row.get("label", subset) == subset]
            found += [(subset, split, count) for split, count in Counter(row["split"] for row in rows).items()]
    return found


def check_data_set(root: str | Path, dataset: str | None = None, deep: bool = False) -> Iterator[SplitReport]:
    """Look at every file of a data set, split by split. What passes can be trained on.

    Of an exported one rows are read as a stream, and the images and sounds in them looked at. Tables, names of files
    and numbers of frames are no longer there to be looked at.

    Args:
        root, dataset: as in [`listed_splits`], whose errors it raises.
        deep: decode all images and sounds; otherwise their headers, ends and checksums are looked at.
    """
    if exported := _exported(root, dataset):
        for part in exported:
            yield SplitReport(part.subset, part.split, *look_through(part, deep))
        return
    dataset = dataset or layout_of(root)
    for subset, split, listed in listed_splits(root, dataset):
        readable, clips, nulls, sizes, fault = 0, 0, 0, 0, None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                rows = load_rows(root, split, dataset, [subset] if subset else [], on_error="skip")
                clips, nulls, sizes = len(rows.unique("clip")), sum(rows["is_null"]), len(frame_sizes(rows))
                fault = " ".join(str(warning.message) for warning in caught) or None
                damaged = undecodable_rows(rows) if deep else []
                readable = len(rows) - len(damaged)
                if damaged:
                    fault = " ".join(filter(None, [fault, f"{split}: {len(damaged)} rows {summary(damaged)}"]))
            except ValueError as error:
                fault = str(error)
        yield SplitReport(subset, split, listed, readable, clips, nulls, sizes, fault)


def frame_sizes(rows: Dataset) -> list[tuple[int, int]]:
    """The different heights and widths that the frames of rows have, from the header of each row's first frame."""
    found = set()
    # Of rows that hold their frames, nothing but the first one is read.
    for table in rows.select_columns(["frames"]).with_format("arrow").iter(batch_size=64):
        for first in list_element(table["frames"], 0).to_pylist():
            source = first["path"] if first["bytes"] is None else BytesIO(first["bytes"])
            found.add(shown_size(source)[::-1])
    return sorted(found)


def check_sizes(splits: Mapping[str, Dataset], batch_size: int) -> None:
    """Before an epoch begins: frames whose sizes become those of the labels have to agree within a batch.

    Raises:
        ValueError: when batches hold several clips and the frames of a split have several sizes.
    """
    for split, rows in splits.items():
        sizes = frame_sizes(rows) if batch_size > 1 else []
        if len(sizes) > 1:
            raise ValueError(
                f"label_size: the frames of {split} have {len(sizes)} sizes, such as {sizes[0]} and {sizes[-1]} "
                "(height, width); give one for all labels, such as --label_size 256 256, or batches of one clip"
            )


def export_parquet(splits: dict[str, Dataset], out: str | Path) -> Path:
    """Write splits as Parquet files that hold frames, sound and masks, for `datasets.load_dataset(out)`.

    Args:
        splits: rows of `load_rows` by the name of their split.
        out: a folder that does not exist yet or is empty; it appears when all is written.

    Raises:
        ValueError: when `out` already has content.
    """
    out = check_new_folder(out, "out")
    with staged_folder(out) as folder:
        (folder / "data").mkdir()
        for split, rows in splits.items():
            rows, starts = with_audio_type(rows), range(0, len(rows), _ROWS_PER_FILE)
            for number, start in enumerate(starts):
                part = rows.select(range(start, min(start + _ROWS_PER_FILE, len(rows)))).with_format("arrow")
                part = part.map(embed_table_storage, batched=True, batch_size=16, keep_in_memory=True)
                part.with_format(None).to_parquet(
                    folder / "data" / f"{split}-{number:05d}-of-{len(starts):05d}.parquet"
                )
    return out


def with_audio_type(rows: Dataset) -> Dataset:
    """Rows whose sound is typed as such, which is what makes `datasets` copy the files' bytes when it writes them."""
    return rows.cast_column("audio", Audio(decode=False))


def push_rows(splits: dict[str, Dataset], repo: str, subset: str | None = None, private: bool = False) -> None:
    """As [`export_parquet`], to the data set `repo` on the Hub, under the name of its subset if it is one.

    Raises:
        ValueError: when `repo` is no name that the Hub takes, or the Hub refuses; the message says which.
    """
    try:
        for split, rows in splits.items():
            with_audio_type(rows).push_to_hub(repo, config_name=subset or "default", split=split, private=private)
    except HUB_ERRORS as error:
        raise refusal(repo, error) from error


def splits_of(
    root: str | Path, dataset: str | None = None, subset: str | None = None, wanted: Sequence[str] = ()
) -> tuple[list[str], str]:
    """The splits that a data set lists but Ref-AVS's TODO, which nobody uses, or those `wanted`, and its layout.

    Raises:
        ValueError: when the data set has no such subset or splits.
    """
    layout = known_layout(dataset) if dataset else layout_of(root)
    listed = listed_splits(root, layout)
    subsets = list(dict.fromkeys(name for name, _, _ in listed))
    if subset not in subsets:
        raise ValueError(f"subset: got {subset}, {root} has {', '.join(map(str, subsets))}")
    present = [split for name, split, _ in listed if name == subset]
    missing = [split for split in wanted if split not in present]
    if missing:
        raise ValueError(f"split: {root} lists no {', '.join(missing)}, only {', '.join(present)}")
    return list(wanted) or [split for split in present if split != "TODO"], layout
