"""Rows of an exported data set, looked at as its files were before."""

from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from pyarrow import ArrowException

from ..error_reasons import reason_of
from .decoding import RowDecoder
from .exported import ExportedSplit
from .file_checks import FRAMES, MASKS, check_image_in, check_sound
from .masks import same_shape
from .tables import DataError, summary


class Looked(NamedTuple):
    """What a split holds, see `lavseg.data.layouts.SplitReport`."""

    rows: int
    readable: int
    clips: int
    nulls: int
    sizes: int
    fault: str | None


def look_through(part: ExportedSplit, deep: bool) -> Looked:
    """Read a split as a stream and look at every row of it.

    Args:
        deep: decode all images and sounds.
    """
    rows, readable, clips, nulls, sizes = 0, 0, set(), 0, set()
    failures: list[DataError] = []
    short: dict[str, DataError] = {}
    decode, unreadable = RowDecoder(), None
    try:
        for row in part.stream().decode(False):
            rows += 1
            try:
                size, remarks = check_row(row, part)
                clips.add(row["clip"])
                short.update((row["clip"], remark) for remark in remarks)
                sizes.add(size)
                nulls += row["is_null"]
                if deep:
                    decode(row)
                readable += 1
            except DataError as error:
                failures.append(error)
    except (ArrowException, OSError) as error:
        unreadable = f"{part.split}: the rest cannot be read as Parquet ({reason_of(error)})"
    said = [f"{part.split}: {len(failures)} of {rows} rows {summary(failures)}"] if failures else []
    said += [f"{part.split}: {len(short)} clips are used as they are {summary([*short.values()])}"] if short else []
    said += [unreadable] if unreadable else []
    return Looked(rows, readable, len(clips), nulls, len(sizes), " ".join(said) or None)


def check_row(row: dict, part: ExportedSplit) -> tuple[tuple[int, int], list[DataError]]:
    """Look at a row whose images and sound are given as `{"path": ..., "bytes": ...}`.

    Returns:
        Width and height of the frames as they are shown, and what is said of a sound that ends before the frames.

    Raises:
        DataError: when it is not as [`load_exported`] should give it.
    """
    clip, where = row["clip"], f"row {row['id']} of {part.split}"
    if row["split"] != part.split or row.get("subset") != part.subset:
        raise DataError("row of another split", clip, where, f"It says {row.get('subset') or ''} {row['split']}.")
    if part.layout == "ref_avs" and not (row["text"] or "").strip():
        raise DataError("empty sentence", clip, where, "It has to say which object is meant.")
    frame = _check_images(row, "frames", FRAMES, where)
    if row["is_null"] and row["masks"]:
        raise DataError("null row with masks", clip, where, "Nothing is to be segmented in it.")
    if not row["is_null"]:
        mask = _check_images(row, "masks", MASKS, where)
        if len(row["masks"]) > len(row["frames"]):
            advice = f"There are {len(row['frames'])} frames and {len(row['masks'])} masks."
            raise DataError("frames and masks differ", clip, where, advice)
        if not same_shape(frame, mask):
            advice = f"Width and height are {mask}, those of the frames {frame}."
            raise DataError("masks of another shape than the frames", clip, where, advice)
    name, content = _content(row, "audio", row["audio"] or {}, where)
    short: list[DataError] = []
    check_sound(clip, name, content, len(row["frames"]), short)
    return frame, short


def _check_images(row: dict, column: str, formats: tuple[str, ...], where: str) -> tuple[int, int]:
    """Width and height of the images of a row, which all have to have."""
    if not row[column]:
        raise DataError(f"row without {column}", row["clip"], where, "Export the data set again.")
    sizes = set()
    for image in row[column]:
        name, content = _content(row, column, image, where)
        sizes.add(check_image_in(BytesIO(content), row["clip"], name, formats))
    if len(sizes) > 1:
        raise DataError("images of different sizes", row["clip"], f"{column} in {where}", f"Sizes are {sorted(sizes)}.")
    return sizes.pop()


def _content(row: dict, column: str, file: dict, where: str) -> tuple[str | Path, bytes]:
    """What errors call a file in a row, and its bytes."""
    name = f"{column}, {file.get('path')} in {where}"
    if file.get("bytes") is None:
        raise DataError("missing file", row["clip"], name, "The row names it and does not hold it; export it again.")
    return name, file["bytes"]
