"""A synthetic data set in the on-disk layouts of AVSBench: the object release and the semantic release."""

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from zlib import crc32

import numpy as np
from PIL import Image

from ...output_folders import check_new_folder, staged_folder
from ..avsbench import SPLITS, SUBSETS
from ..classes import CLASSES, PALETTE
from .cast import DRAWN_BAND, Cast
from .clip_files import draw_video_id, require_counts, write_wav
from .rendering import SAMPLING_RATE, render_clip
from .scene import SceneObject, SyntheticClip, draw_objects

_OBJECT_SIZE = (224, 224)
_SEMANTIC = ("v1s", "v1m", "v2")
_SOURCES = {"single": ("s4", "v1s"), "multi": ("ms3", "v1m"), "v2": ("v2",)}


@dataclass(frozen=True)
class _Scene:
    """A clip to write: its video and where it starts and ends there, in milliseconds, and the subsets that show it."""

    sources: str
    split: str
    index: int
    subsets: tuple[str, ...]
    video: str
    start: int
    end: int

    @property
    def num_frames(self) -> int:
        return (self.end - self.start) // 1000

    @property
    def is_mono(self) -> bool:
        return self.index % 3 == 0

    @property
    def numbered(self) -> str:
        """The video's name, in every other clip with a number, as in ms3, where several clips are of one video."""
        return f"{self.video}_{self.index}" if self.index % 2 else self.video


def write_avsbench(
    root: str | Path,
    clips: dict[str, dict[str, int]],
    frame_size: tuple[int, int] = (192, 256),
    seed: int = 0,
    progress: Callable[[list], Iterable] | None = None,
    cast: Cast = DRAWN_BAND,
) -> Path:
    """Write synthetic clips under `root` as both releases of AVSBench lay them out, and return `root`.

    What sounds is to be segmented, in the seconds in which it sounds. In s4 and v1s exactly one object does, all the
    time, among silent ones; in ms3 and v1m two or more, each for some seconds; clips of v2 are of either kind
    or silent. The first clip of a split of ms3, v1m and v2 ends in silence. s4 and v1s show the same clips, and so do
    ms3 and v1m. No object is silent while another of its category sounds. Each clip's content depends on `seed`, `cast`
    and its own name only.

    Args:
        root: a folder that does not exist yet or is empty.
        clips: number of clips by subset (s4, ms3, v1s, v1m, v2) and split (train, val, test), such as
            `{"s4": {"train": 8, "test": 2}}`; left out means none.
        frame_size: height and width in pixels of the semantic release; frames of the object release have 224x224, its
            aspect ratio lost as in the original.
        progress: wraps the list of clips while they are written, e.g. `tqdm` or `rich.progress.track`.
        cast: who appears in them, of the categories that are not unseen. Those of the semantic release have to be in
            `CLASSES`.

    Raises:
        ValueError: `root` is in use, `clips` names none, or a category is no class of the semantic release.
    """
    unknown = sorted(set(clips) - set(SUBSETS))
    if unknown or not clips:
        raise ValueError(f"clips: got {clips}, expected numbers of clips for some of {', '.join(SUBSETS)}.")
    for counts in clips.values():
        require_counts(counts, SPLITS)
    if not clips.keys().isdisjoint(_SEMANTIC):
        _require_classes(cast)
    root = check_new_folder(root, "root")
    rows: dict[str, list[dict]] = {subset: [] for subset in SUBSETS}
    scenes = _plan(clips, seed)
    with staged_folder(root) as folder:
        for scene in progress(scenes) if progress else scenes:
            rng = np.random.default_rng([seed, crc32(f"{scene.sources}/{scene.split}/{scene.index}".encode())])
            clip = render_clip(rng, scene.num_frames, frame_size, objects=_draw(rng, scene, cast), cast=cast)
            classes = _class_ids(clip)
            for subset in scene.subsets:
                rows[subset].append(_WRITERS[subset](folder, subset, scene, clip, classes))
        _write_tables(folder, rows)
    return root


def _plan(clips: dict[str, dict[str, int]], seed: int) -> list[_Scene]:
    """Every scene to write, once for all subsets that show it."""
    scenes = []
    for sources, subsets in _SOURCES.items():
        num_frames = 10 if sources == "v2" else 5
        for split in SPLITS:
            counts = {subset: clips.get(subset, {}).get(split, 0) for subset in subsets}
            for index in range(max(counts.values())):
                shown = tuple(subset for subset, count in counts.items() if index < count)
                video, start, end = draw_video_id(f"{sources}/{split}", index, num_frames, seed).rsplit("_", 2)
                scenes.append(_Scene(sources, split, index, shown, video, int(start), int(end)))
    return scenes


def _require_classes(cast: Cast) -> None:
    _, *known = CLASSES
    foreign = [name for name in cast.categories if name not in cast.unseen and name not in known]
    if foreign:
        raise ValueError(
            f"cast: {', '.join(foreign)}: no class of AVSBench-semantic; name categories as it does, or write s4 and "
            f"ms3 alone, or the layout ref_avs. Classes are {', '.join(known)}."
        )


def draw_sounding_objects(
    rng: np.random.Generator, num_frames: int, several: bool, cast: Cast = DRAWN_BAND
) -> list[SceneObject]:
    """Objects of which one sounds all the time, as in s4 and v1s, or several for some seconds, as in ms3 and v1m."""
    while True:
        objects = _draw_distinct(rng, num_frames, cast)
        sounding = [item for item in objects if item.sounds]
        if several and len(sounding) > 1:
            return objects
        if not several and len(sounding) == 1:
            return [replace(item, seconds=np.full(num_frames, item.sounds)) for item in objects]


def _draw_distinct(rng: np.random.Generator, num_frames: int, cast: Cast) -> list[SceneObject]:
    """Objects of which those of one category, which sound alike, are all silent or all sound at the same time."""
    while True:
        objects = draw_objects(rng, num_frames, cast)
        if len({item.category for item in objects}) == len({(item.category, *item.seconds) for item in objects}):
            return objects


def _draw(rng: np.random.Generator, scene: _Scene, cast: Cast) -> list[SceneObject]:
    """Objects with the seconds in which they sound."""
    if scene.sources == "single":
        return draw_sounding_objects(rng, scene.num_frames, several=False, cast=cast)
    if scene.sources == "multi" or scene.index == 0:
        objects = draw_sounding_objects(rng, scene.num_frames, several=True, cast=cast)
    else:
        objects = _draw_distinct(rng, scene.num_frames, cast)
    silent = np.zeros(scene.num_frames, bool)
    if scene.index == 0:
        silent[-1] = True
    elif scene.index == 1 and scene.sources == "v2":
        silent[:] = True
    return [replace(item, seconds=item.seconds & ~silent) for item in objects]


def _class_ids(clip: SyntheticClip) -> np.ndarray:
    """Class of what sounds at each pixel, uint8 `[T, H, W]`, 0 where nothing does, 255 where it is of no class."""
    ids = np.array(
        [CLASSES.index(name) if name in CLASSES else 255 for name in (item.category for item in clip.objects)], np.uint8
    )
    sounding = np.stack([item.seconds for item in clip.objects])[..., None, None]
    return (ids[:, None, None, None] * (clip.masks & sounding)).max(0)


def _write_single(root: Path, subset: str, scene: _Scene, clip: SyntheticClip, classes: np.ndarray) -> dict:
    """A clip of s4; returns its row of the table."""
    category = next(item.category for item in clip.objects if item.sounds)
    data, name, inner = root / "Single-source" / "s4_data", scene.video, Path(scene.split, category)
    labeled = classes[:1] if scene.split == "train" else classes
    _write_squares(data / "visual_frames" / inner / name, name, clip.frames, Image.Resampling.BILINEAR)
    _write_squares(data / "gt_masks" / inner / name, name, _black_and_white(labeled), Image.Resampling.NEAREST)
    write_wav(data / "audio_wav" / f"{inner / name}.wav", clip.waveform, SAMPLING_RATE, scene.is_mono)
    return {"name": name, "start": scene.start // 1000, "category": category, "split": scene.split}


def _write_multi(root: Path, subset: str, scene: _Scene, clip: SyntheticClip, classes: np.ndarray) -> dict:
    """A clip of ms3; returns its row of the table."""
    data, name, inner = root / "Multi-sources" / "ms3_data", scene.numbered, Path(scene.split)
    _write_squares(data / "visual_frames" / name, f"{name}.mp4", clip.frames, Image.Resampling.BILINEAR)
    _write_squares(data / "gt_masks" / inner / name, name, _black_and_white(classes), Image.Resampling.NEAREST)
    write_wav(data / "audio_wav" / f"{inner / name}.wav", clip.waveform, SAMPLING_RATE, scene.is_mono)
    return {"video_id": name, "split": scene.split}


def _black_and_white(classes: np.ndarray) -> np.ndarray:
    return np.where(classes > 0, 255, 0).astype(np.uint8)


def _write_squares(folder: Path, name: str, images: np.ndarray, resample: Image.Resampling) -> None:
    folder.mkdir(parents=True)
    for number, image in enumerate(images, 1):
        square = Image.fromarray(image).resize(_OBJECT_SIZE, resample)
        square.save(folder / f"{name}_{number}.png", compress_level=1)


def _write_semantic(root: Path, subset: str, scene: _Scene, clip: SyntheticClip, classes: np.ndarray) -> dict:
    """A clip of v1s, v1m or v2; returns its row of the table."""
    uid = vid = scene.numbered
    seconds = 0
    if subset != "v1m":
        uid, vid, seconds = f"{scene.video}_{scene.start}_{scene.end}", scene.video, scene.start // 1000
    folder = root / subset / uid
    for kind in ("frames", "labels_rgb", "labels_semantic"):
        (folder / kind).mkdir(parents=True)
    for number, frame in enumerate(clip.frames):
        Image.fromarray(frame).save(folder / "frames" / f"{number}.jpg", quality=95)
    for number, ids in enumerate(classes[:1] if (subset, scene.split) == ("v1s", "train") else classes):
        Image.fromarray(PALETTE[ids]).save(folder / "labels_rgb" / f"{number}.png", compress_level=1)
        Image.fromarray(ids).save(folder / "labels_semantic" / f"{number}.png", compress_level=1)
    write_wav(folder / "audio.wav", clip.waveform, SAMPLING_RATE, scene.is_mono)
    names = dict.fromkeys(item.category for item in clip.objects if item.sounds)
    return {
        "vid": vid,
        "uid": uid,
        "s_min": seconds // 60,
        "s_sec": seconds % 60,
        "a_obj": "_".join(names) or "off-the-screen",
        "split": scene.split,
        "label": subset,
    }


_WRITERS = {
    "s4": _write_single,
    "ms3": _write_multi,
    "v1s": _write_semantic,
    "v1m": _write_semantic,
    "v2": _write_semantic,
}


def _write_tables(root: Path, rows: dict[str, list[dict]]) -> None:
    _write_table(root / "Single-source" / "s4_meta_data.csv", rows["s4"])
    _write_table(root / "Multi-sources" / "ms3_meta_data.csv", rows["ms3"])
    semantic = list(chain.from_iterable(rows[subset] for subset in _SEMANTIC))
    for folder in (root, root / "avss_index"):
        _write_table(folder / "metadata.csv", semantic)
    if semantic:
        ids = {name: index for index, name in enumerate(CLASSES)}
        (root / "label2idx.json").write_text(json.dumps(ids, indent=4) + "\n", encoding="utf-8")


def _write_table(path: Path, rows: list[dict]) -> None:
    if rows:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
