"""Every pixel and sample of rows on disk, decoded as training does."""

from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

import numpy as np
from datasets import Dataset
from PIL import Image
from torch.utils.data import Dataset as TorchDataset

from ..error_reasons import reason_of
from .classes import PALETTE
from .file_checks import decode_sound
from .masks import mask_colors
from .tables import DataError


class NamedRows(TorchDataset):
    """Rows of a data set for a `DataLoader`: where one cannot be decoded, the error names its clip."""

    def __init__(self, rows: Dataset):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        try:
            return self.rows[index]
        except Exception as error:  # Pillow's decoders of damaged files raise any
            clip = self.rows.select_columns("clip")[index]["clip"]
            raise ValueError(
                f"clip {clip}: an image cannot be decoded: {reason_of(error)}; copy or download it again"
            ) from error


def undecodable_rows(rows: Dataset) -> list[DataError]:
    """What is wrong with rows of `load_ref_avs` or `load_avsbench` whose files passed without being decoded.

    Every file is decoded once, whatever the number of rows that name it.

    Returns:
        One error for each row with a damaged image or sound, or, where masks say classes, a colour that is none's.
    """
    look_at_image, look_at_sound = cache(_look_at_image), cache(_look_at_sound)
    found = []
    columns = {"clip", "frames", "masks", "audio", "has_classes"} & {*rows.column_names}
    for row in without_decoding(rows, columns):
        try:
            for image in row["frames"]:
                look_at_image(row["clip"], image["path"], False)
            for image in row["masks"]:
                look_at_image(row["clip"], image["path"], row.get("has_classes", False))
            look_at_sound(row["clip"], row["audio"]["path"])
        except DataError as error:
            found.append(error)
    return found


def without_decoding(rows: Dataset, columns: Collection[str]) -> Iterator[dict]:
    """Rows whose images are given as `{"path": ..., "bytes": ...}`."""
    for table in rows.select_columns(list(columns)).with_format("arrow").iter(batch_size=64):
        yield from table.to_pylist()


def _look_at_image(clip: str, path: str, has_classes: bool) -> None:
    try:
        with Image.open(path) as image:
            image.load()
            colors = mask_colors(image) if has_classes else None
    except Exception as error:  # Pillow's decoders of damaged files raise any
        reason = str(error) or type(error).__name__
        raise DataError("image that cannot be decoded", clip, path, f"{reason}. Copy or download it again.") from error
    if colors is not None:
        known = {tuple(color) for color in PALETTE.tolist()}
        foreign = {tuple(color) for color in np.unique(np.asarray(colors).reshape(-1, 3), axis=0).tolist()} - known
        if foreign:
            raise DataError("colour of no class", clip, path, f"It has {sorted(foreign)[0]}.")


def _look_at_sound(clip: str, path: str) -> None:
    decode_sound(clip, Path(path))
