"""AVSBench from disk: the object release (Zhou et al., ECCV 2022) and the semantic release (Zhou et al., 2023)."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from datasets import Dataset, Features, Value

from .file_checks import check_fit, checked_sound, numbered_images
from .tables import ROW_FEATURES, DataError, as_root, build_dataset, check_listed, check_name, read_table

SUBSETS = ("s4", "ms3", "v1s", "v1m", "v2")
SPLITS = ("train", "val", "test")
_SEMANTIC_TABLES = ("metadata.csv", "avss_index/metadata.csv")
FEATURES = Features({**ROW_FEATURES, "subset": Value("string"), "has_classes": Value("bool")})


@dataclass(frozen=True)
class _Clip:
    """Names and files of a clip; images are numbered from `first` on."""

    uid: str
    vid: str
    object: str
    frames: Path
    masks: Path
    audio: Path
    first: int


def load_avsbench(root: str | Path, subset: str, split: str, on_error: str = "raise") -> Dataset:
    """One row per clip, in the order of the subset's table, images and sound as paths until they are read.

    Columns are those of `load_ref_avs` but `fid`: `id` (row of the table), `uid` and `clip` (the clip's name), `vid`
    (the video it is from), `object` (as the table names it, blank in ms3; no class, see `row_classes`), `split`,
    `is_null` (always false), `text` (always None: what sounds is meant), `frames` (`T` images, 10 in v2, else 5),
    `audio` (struct of path and bytes), `masks`; and `subset` and `has_classes`, whether the masks' colours say the
    class. `masks` are those of all frames, or of the first frame only in the training split of s4 and v1s. Where
    nothing sounds in a frame, its mask is blank.

    The object release's log-mel files are pickles, which run code when they are opened: they are left alone, and the
    sound is read from the wav files, of which they were made.

    Args:
        root: the folder that holds `Single-source` (s4) or `Multi-sources` (ms3), or that holds `v1s`, `v1m`, `v2`
            with `metadata.csv` beside them or in `avss_index`.
        subset: s4 or ms3 of the object release (224x224 frames, binary masks); v1s, v1m or v2 of the semantic release
            (frames of any size, 70 classes), of which v1s and v1m show the clips of s4 and ms3.
        split: train, val or test.
        on_error: `raise` a `DataError` at the first missing or damaged file, or `skip` such rows with a warning that
            counts them.
    """
    root = as_root(root)
    if subset not in SUBSETS:
        raise ValueError(f"subset: got {subset!r}, expected one of {', '.join(SUBSETS)}.")
    if split not in SPLITS:
        raise ValueError(f"split: got {split!r}, expected one of {', '.join(SPLITS)}.")
    path, columns, beside = table_of(root, subset)
    rows = list(enumerate(read_table(path, columns, beside)))
    for index, row in rows:
        _check_row(f"{path}, row {index}", row)
    selected = [(i, row) for i, row in rows if row["split"] == split and row.get("label", subset) == subset]
    load_row = partial(_load_row, root, subset)
    return build_dataset(selected, load_row, FEATURES, on_error, f"AVSBench {subset} {split!r}", path)


def table_of(root: Path, subset: str) -> tuple[Path, tuple[str, ...], str]:
    """The csv of a subset, the columns that are read, and what lies beside it."""
    if subset == "s4":
        return root / "Single-source" / "s4_meta_data.csv", ("name", "category", "split"), "Single-source"
    if subset == "ms3":
        return root / "Multi-sources" / "ms3_meta_data.csv", ("video_id", "split"), "Multi-sources"
    paths = [root / name for name in _SEMANTIC_TABLES]
    path = next((path for path in paths if path.is_file()), paths[0])
    return path, ("vid", "uid", "a_obj", "split", "label"), f"{subset} and metadata.csv"


def _check_row(where: str, row: dict[str, str]) -> None:
    for name in ("name", "category", "video_id", "uid"):
        if name in row:
            check_name(where, name, row[name])
    check_listed(where, "split", row["split"], SPLITS)
    check_listed(where, "label", row.get("label", ""), SUBSETS)


def _locate(root: Path, subset: str, row: dict[str, str]) -> _Clip:
    if subset == "s4":
        data, inner, name = root / "Single-source" / "s4_data", Path(row["split"], row["category"]), row["name"]
        frames, masks = (data / kind / inner / name for kind in ("visual_frames", "gt_masks"))
        return _Clip(name, name, row["category"], frames, masks, data / "audio_wav" / inner / f"{name}.wav", 1)
    if subset == "ms3":
        data, name = root / "Multi-sources" / "ms3_data", row["video_id"]
        frames, masks = data / "visual_frames" / name, data / "gt_masks" / row["split"] / name
        return _Clip(name, name, "", frames, masks, data / "audio_wav" / row["split"] / f"{name}.wav", 1)
    folder = root / subset / row["uid"]
    frames, masks, audio = folder / "frames", folder / "labels_rgb", folder / "audio.wav"
    return _Clip(row["uid"], row["vid"], row["a_obj"], frames, masks, audio, 0)


def _load_row(root: Path, subset: str, index: int, row: dict[str, str], remarks: list[DataError]) -> dict:
    clip = _locate(root, subset, row)
    frames = numbered_images(clip.uid, clip.frames, clip.first)
    masks = numbered_images(clip.uid, clip.masks, clip.first, masks=True)
    labeled = frames
    if subset in ("s4", "v1s") and row["split"] == "train":
        labeled, masks = ({clip.first: images[clip.first]} for images in (frames, masks))
    check_fit(clip.uid, clip.masks, labeled, masks)
    return {
        "id": index,
        "uid": clip.uid,
        "vid": clip.vid,
        "clip": clip.uid,
        "object": clip.object,
        "subset": subset,
        "split": row["split"],
        "is_null": False,
        "has_classes": subset.startswith("v"),
        "text": None,
        "frames": list(frames.values()),
        "audio": {"path": checked_sound(clip.uid, clip.audio, len(frames), remarks), "bytes": None},
        "masks": list(masks.values()),
    }
