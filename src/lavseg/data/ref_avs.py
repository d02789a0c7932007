"""The Ref-AVS data set from disk (Wang et al., "Ref-AVS: Refer and Segment Objects in Audio-Visual Scenes", 2024)."""

import re
from functools import cache, partial
from pathlib import Path

from datasets import Dataset, Features, Value

from .file_checks import check_fit, checked_sound, numbered_images
from .tables import ROW_FEATURES, DataError, as_root, build_dataset, check_listed, check_name, read_table

SPLITS = ("train", "val", "test_s", "test_u", "test_n", "TODO")
# Whose sentences mean nothing that is in their clips.
NULL_SPLITS = ("test_n",)
_COLUMNS = ("vid", "uid", "split", "fid", "exp")
FEATURES = Features({**ROW_FEATURES, "fid": Value("int64")})


def load_ref_avs(root: str | Path, split: str, novel_unseen_only: bool = False, on_error: str = "raise") -> Dataset:
    """One row an expression, in the order of `metadata.csv`, images and sound as paths until they are read.

    Columns: `id` (row of the csv; `uid` is not a key), `uid`, `vid`, `clip` (the folder, which differs from `vid` for
    null rows), `object`, `fid`, `split`, `is_null`, `text` (verbatim), `frames` (`T` images), `audio` (struct of path
    and bytes), `masks` (`T` images, or none for null rows: nothing is to be segmented; see `row_masks`).

    Args:
        root: the folder that holds `metadata.csv`, `media` and `gt_mask`.
        split: train, val, test_s (seen), test_u (unseen), test_n (null), or TODO, which the papers leave out.
        novel_unseen_only: keep only those objects of test_u that train never names: 1,454 rows of the official 1,656,
            the paper's number.
        on_error: `raise` a `DataError` at the first missing or damaged file, or `skip` such rows with a warning that
            counts them.

    Raises:
        ValueError: (of which `DataError` is one) an argument is not accepted, or the table or a file cannot be used.
    """
    root = as_root(root)
    if split not in SPLITS:
        raise ValueError(f"split: got {split!r}, expected one of {', '.join(SPLITS)}.")
    if novel_unseen_only and split != "test_u":
        raise ValueError(f"novel_unseen_only: applies to split test_u only, got split {split!r}.")
    table = _read_metadata(root / "metadata.csv")
    trained = {_object(row) for row in table if row["split"] == "train"} - {"null"}
    selected = [
        (index, row)
        for index, row in enumerate(table)
        if row["split"] == split and not (novel_unseen_only and _object(row) in trained)
    ]
    load_row = partial(_load_row, _Files(root))
    return build_dataset(selected, load_row, FEATURES, on_error, f"Ref-AVS {split!r}", root / "metadata.csv")


def _read_metadata(path: Path) -> list[dict[str, str]]:
    table = read_table(path, _COLUMNS, "metadata.csv, media and gt_mask")
    for index, row in enumerate(table):
        where = f"{path}, row {index}"
        if row["uid"].count("_") < 2 or not re.fullmatch(r"[0-9]{1,9}", row["fid"]):
            raise ValueError(f"{where}: got {row}, expected uid <clip>_<object>_<number> and an integer fid.")
        check_name(where, "uid", row["uid"])
        check_name(where, "clip in uid", row["uid"].rsplit("_", 2)[0])
        check_listed(where, "split", row["split"], SPLITS)
    return table


def _object(row: dict[str, str]) -> str:
    return row["uid"].rsplit("_", 2)[1]


def _load_row(files: "_Files", index: int, row: dict[str, str], remarks: list[DataError]) -> dict:
    clip, name, _ = row["uid"].rsplit("_", 2)
    is_null = name == "null"
    if not row["exp"].strip():
        raise DataError("empty sentence", clip, files.table, f"Row {index} has to say which object is meant.")
    frames = files.frames(clip)
    masks = {} if is_null else files.masks(clip, int(row["fid"]))
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
        "audio": {"path": files.audio(clip, remarks), "bytes": None},
        "masks": list(masks.values()),
    }


class _Files:
    """Paths of a clip's files, each looked at once to see that it is whole."""

    def __init__(self, root: Path):
        self.root = root
        self.table = root / "metadata.csv"
        self.frames = cache(self._frames)
        self.masks = cache(self._masks)
        self.sounds: dict[str, str] = {}

    def _frames(self, clip: str) -> dict[int, str]:
        return numbered_images(clip, self.root / "media" / clip / "frames")

    def _masks(self, clip: str, fid: int) -> dict[int, str]:
        folder = self.root / "gt_mask" / clip / f"fid_{fid}"
        frames, masks = self.frames(clip), numbered_images(clip, folder, masks=True)
        check_fit(clip, folder, frames, masks)
        return masks

    def audio(self, clip: str, remarks: list[DataError]) -> str:
        """Path of a clip's sound; what is said of it is added to `remarks` the first time."""
        if clip not in self.sounds:
            path = self.root / "media" / clip / "audio.wav"
            self.sounds[clip] = checked_sound(clip, path, len(self.frames(clip)), remarks)
        return self.sounds[clip]
