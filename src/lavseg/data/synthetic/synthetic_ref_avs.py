"""A synthetic data set in the on-disk layout of Ref-AVS (Wang et al., ECCV 2024), its odd corners included."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from zlib import crc32

import numpy as np
from PIL import Image

from ...output_folders import check_new_folder, staged_folder
from .cast import DRAWN_BAND, Cast
from .clip_files import draw_video_id, require_counts, write_wav
from .object_tables import ClipObject, clip_object, write_objects
from .queries import Query, held_out
from .rendering import SAMPLING_RATE, render_clip
from .scene import SceneObject
from .sentences import Expression, draw_expressions, draw_scene

SPLITS = ("train", "val", "test_s", "test_u", "test_n")
COLUMNS = ("vid", "uid", "split", "fid", "exp")
_KINDS_FILE, _KINDS_COLUMNS = "kinds.csv", ("kind", "novelty")
_CLIPS_PER_NULL_CLIP = 8
# Scenes of clips whose sentences fit something, by the kind of most of them.
_SCENES = {"words": 0.05, "sound": 0.4, "both": 0.55}
# How often a name alone, a name or none with a place or motion, and a name with what is said of its sound is written.
_WORDS = {"name": 0.5, "place": 0.35, "sound": 0.15}


@dataclass(frozen=True)
class _Entry:
    """One clip to write; `clip` is `vid`, after `null_c-` or `null_m-` where the sentences fit nothing.

    `number` counts the clips of its split that fit something and those that do not; every third has mono sound.
    """

    split: str
    vid: str
    clip: str
    number: int
    novelty: str = "seen"

    @property
    def is_mono(self) -> bool:
        return self.number % 3 == 0

    @property
    def is_null(self) -> bool:
        return self.clip != self.vid


def write_ref_avs(
    root: str | Path,
    clips: dict[str, int],
    num_frames: int = 10,
    frame_size: tuple[int, int] = (192, 256),
    seed: int = 0,
    progress: Callable[[list], Iterable] | None = None,
    cast: Cast = DRAWN_BAND,
) -> Path:
    """Write synthetic clips and sentences under `root` as Ref-AVS lays them out, and return `root`.

    Each clip's content depends on `seed`, `cast` and its own name only. One clip in eight of train and val, and all of
    test_n, are `null_c-` (something sounds) or `null_m-` (nothing sounds) clips whose sentences fit nothing. Every
    other clip of test_u shows a category that the other splits never show, the rest are asked for combinations of a
    seen category and a property that the other splits never ask for. Besides `metadata.csv` there is a `kinds.csv`,
    see `row_kinds` and `row_novelties`, and an `objects.csv` with what each clip shows and when it sounds.

    Args:
        root: a folder that does not exist yet or is empty.
        clips: number of clips for each of the splits train, val, test_s, test_u and test_n; left out means none.
            A clip of the unused split TODO is always added.
        num_frames: frames (and seconds) per clip; the official data have 10.
        frame_size: height and width in pixels.
        progress: wraps the list of clips while they are written, e.g. `tqdm` or `rich.progress.track`.
        cast: who appears in them; where none of it is unseen, all of test_u is asked for new combinations.

    Raises:
        ValueError: `root` is in use, or `clips` names none.
    """
    require_counts(clips, SPLITS)
    root = check_new_folder(root, "root")
    entries = _plan(clips, num_frames, seed, cast)
    rows: list[tuple[dict, tuple[str, str]]] = []
    objects: list[ClipObject] = []
    with staged_folder(root) as folder:
        for index, entry in enumerate(progress(entries) if progress else entries):
            clip_rows, clip_objects = _write_clip(folder, entry, index, num_frames, frame_size, seed, cast)
            rows += clip_rows
            objects += clip_objects
        rows.append(next((row for row in rows if row[0]["split"] == "test_u"), rows[0]))
        with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\r\n")
            writer.writeheader()
            writer.writerows(row for row, _ in rows)
        lines = [",".join(values) for values in [_KINDS_COLUMNS, *(values for _, values in rows)]]
        write_objects(folder, objects)
        (folder / _KINDS_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def row_kinds(root: str | Path) -> list[str]:
    """The kind of each row of `metadata.csv` in a folder of `write_ref_avs`: words, sound, both or null.

    `words`: name, position or motion decide. `sound`: what sounds decides. `both`: neither alone is enough. `null`:
    nothing fits.
    """
    return _read_column(root, "kind")


def row_novelties(root: str | Path) -> list[str]:
    """What is new in each row of `metadata.csv` in a folder of `write_ref_avs`: seen, category or combination.

    `category`: the object meant is of a category that train never shows. `combination`: the sentence names a category
    and a property that train never names together. `seen`: neither.
    """
    return _read_column(root, "novelty")


def _read_column(root: str | Path, column: str) -> list[str]:
    path = Path(root) / _KINDS_FILE
    if not path.is_file():
        raise ValueError(f"root: {root} has no {_KINDS_FILE}; only folders written by write_ref_avs have one.")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if rows and column not in rows[0]:
        raise ValueError(f"root: {path} has no column {column}; write the folder anew with write_ref_avs.")
    return [row[column] for row in rows]


def _plan(clips: dict[str, int], num_frames: int, seed: int, cast: Cast) -> list[_Entry]:
    """Every clip to write; null clips borrow the `vid` of a clip of their split, those of test_n one of test_s."""
    entries: list[_Entry] = []
    for split, count in {**{name: clips.get(name, 0) for name in SPLITS}, "TODO": 1}.items():
        vids = [draw_video_id(split, index, num_frames, seed) for index in range(count)]
        nulls = count if split == "test_n" else 0
        if split in ("train", "val") and count > 1:
            nulls = -(-count // _CLIPS_PER_NULL_CLIP)
        for index, vid in enumerate(vids[: count - nulls]):
            new = "category" if cast.unseen and index % 2 == 0 else "combination"
            entries.append(_Entry(split, vid, vid, index, new if split == "test_u" else "seen"))
        parents = [entry.vid for entry in entries if entry.split == ("test_s" if split == "test_n" else split)]
        for index, vid in enumerate([*parents[:nulls], *vids[len(parents) :]][:nulls]):
            entries.append(_Entry(split, vid, f"null_{'cm'[index % 2]}-{vid}", index))
    return entries


def _write_clip(
    root: Path, entry: _Entry, index: int, num_frames: int, frame_size: tuple[int, int], seed: int, cast: Cast
) -> tuple[list[tuple[dict, tuple[str, str]]], list[ClipObject]]:
    """Write the files of a clip; return its rows of metadata, each with its kind and novelty, and what it shows."""
    rng = np.random.default_rng([seed, crc32(f"media/{entry.clip}".encode())])
    objects, expressions = _draw(rng, entry, num_frames, cast)
    clip = render_clip(rng, num_frames, frame_size, objects=objects, cast=cast)
    media = root / "media" / entry.clip
    (media / "frames").mkdir(parents=True)
    for t, frame in enumerate(clip.frames):
        Image.fromarray(frame).save(media / "frames" / f"{t}.jpg", quality=95)
    _write_sound(media / "audio.wav", clip.waveform, index, entry.is_mono)
    fids = sorted(rng.choice(14, len(objects), replace=False).tolist())
    if entry.is_null:
        _write_masks(root / "gt_mask" / entry.clip / "fid_0", np.zeros_like(clip.masks[0]), "L")
    for number, target in enumerate(sorted({item.target for item in expressions if item.target is not None})):
        folder = root / "gt_mask" / entry.clip / f"fid_{fids[target]}"
        _write_masks(folder, clip.masks[target], "RGB" if index == 2 and number == 0 else "L")
    counts: Counter = Counter()
    rows = []
    for item in expressions:
        name = "null" if item.target is None else objects[item.target].category.replace("_", "-")
        counts[name] += 1
        fid = 0 if item.target is None else fids[item.target]
        values = (entry.vid, f"{entry.clip}_{name}_{counts[name]}", entry.split, fid, item.text)
        rows.append((dict(zip(COLUMNS, values, strict=True)), (item.kind, _novelty(item, objects, cast))))
    return rows, [clip_object(entry.clip, fid, item) for fid, item in zip(fids, objects, strict=True)]


def _novelty(expression: Expression, objects: Sequence[SceneObject], cast: Cast) -> str:
    if expression.target is not None and objects[expression.target].category in cast.unseen:
        return "category"
    return "combination" if held_out(expression.query, cast) else "seen"


def _draw(
    rng: np.random.Generator, entry: _Entry, num_frames: int, cast: Cast
) -> tuple[list[SceneObject], list[Expression]]:
    """What a clip shows and the sentences to write, of which one at least has the clip's novelty."""
    required = [str(rng.choice(cast.unseen))] if entry.novelty == "category" else []
    while True:
        scene = str(rng.choice(list(_SCENES), p=list(_SCENES.values())))
        if entry.is_null:
            scene = "silent" if entry.clip.startswith("null_m-") else str(rng.choice(["sound", "both"]))
        elif entry.novelty == "combination":
            scene = "combination"
        objects = draw_scene(rng, scene, num_frames, cast, required=required)
        expressions = draw_expressions(rng, objects, cast, combinations=scene == "combination")
        expressions = [item for item in expressions if not (entry.is_mono and item.query.needs_stereo)]
        if entry.is_null:
            nulls = [item for item in expressions if item.kind == "null"]
            on_sound = [item for item in nulls if item.query.is_about_sound]
            return objects, (on_sound[:2] + [item for item in nulls if not item.query.is_about_sound])[:4]
        novelties = {item: _novelty(item, objects, cast) for item in expressions if item.target is not None}
        chosen = _choose(rng, scene, {item: value != "seen" for item, value in novelties.items()})
        if any(novelties[item] == entry.novelty for item in chosen):
            return objects, chosen


def _choose(rng: np.random.Generator, scene: str, is_new: dict[Expression, bool]) -> list[Expression]:
    """Up to two sentences of the kind that the scene is for, new ones first, then of `words` one new and one not."""
    words = _varied_words(rng, is_new)
    of_kind = [item for item in is_new if item.kind == scene and scene != "words"] or words
    chosen = sorted(of_kind, key=lambda item: not is_new[item])[:2]
    others = [item for item in words if item not in chosen]
    if scene in ("sound", "both"):
        chosen += [item for item in others if is_new[item]][:1]
    if any(is_new.values()) or scene in ("sound", "both"):
        chosen += [item for item in others if not is_new[item]][:1]
    return chosen


def _varied_words(rng: np.random.Generator, expressions: Iterable[Expression]) -> list[Expression]:
    """The sentences of `words` in an order in which each sort of them comes first as often as `_WORDS` says."""
    sorts: dict[str, list[Expression]] = {name: [] for name in _WORDS}
    for item in expressions:
        if item.kind == "words":
            about_sound, named = item.query.is_about_sound, item.query == Query(item.query.category)
            sorts["sound" if about_sound else "name" if named else "place"].append(item)
    order = rng.choice(list(_WORDS), len(_WORDS), replace=False, p=list(_WORDS.values()))
    return [item for rank in zip_longest(*(sorts[name] for name in order)) for item in rank if item is not None]


def _write_masks(folder: Path, masks: np.ndarray, mode: str) -> None:
    folder.mkdir(parents=True)
    for t, mask in enumerate(masks):
        Image.fromarray(mask.astype(np.uint8) * 255).convert(mode).save(folder / f"{t:05d}.png", compress_level=1)


def _write_sound(path: Path, waveform: np.ndarray, index: int, is_mono: bool) -> None:
    """16-bit sound; the first clip has 44.1 kHz, the second lacks its last 0.3 s."""
    rate = SAMPLING_RATE
    if index == 0:
        rate, length = 44100, waveform.shape[1]
        moments = np.arange(length * rate // SAMPLING_RATE) * (SAMPLING_RATE / rate)
        waveform = np.stack([np.interp(moments, np.arange(length), channel) for channel in waveform])
    elif index == 1:
        waveform = waveform[:, : -int(0.3 * rate)]
    write_wav(path, waveform, rate, is_mono)
