"""A synthetic data set in the on-disk layout of Ref-AVS (Wang et al., ECCV 2024), its odd corners included."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from PIL import Image

from ...output_folders import check_new_folder, staged_folder
from .clip_files import draw_video_id, require_counts, write_wav
from .scene import SAMPLING_RATE, SEEN, UNSEEN, SyntheticClip, draw_objects, render_clip
from .sentences import Expression, draw_expressions

SPLITS = ("train", "val", "test_s", "test_u", "test_n")
COLUMNS = ("vid", "uid", "split", "fid", "exp")
_CLIPS_PER_NULL_CLIP = 8


@dataclass(frozen=True)
class _Entry:
    """One clip to write; `clip` is `vid`, after `null_c-` or `null_m-` where the sentences fit nothing."""

    split: str
    vid: str
    clip: str

    @property
    def is_null(self) -> bool:
        return self.clip != self.vid


def write_ref_avs(
    root: str | Path,
    clips: dict[str, int],
    num_frames: int = 10,
    frame_size: tuple[int, int] = (112, 144),
    seed: int = 0,
    progress: Callable[[list], Iterable] | None = None,
) -> Path:
    """Write synthetic clips and sentences under `root` as Ref-AVS lays them out, and return `root`.

    Each clip's content depends on `seed` and its own name only. One clip in eight of train and val, and all of test_n,
    are `null_c-` (something sounds) or `null_m-` (nothing sounds) clips whose sentences fit nothing. Clips of test_u
    show shapes that train never shows. Besides `metadata.csv` there is a `kinds.csv`, see `row_kinds`.

    Args:
        root: a folder that does not exist yet or is empty.
        clips: number of clips for each of the splits train, val, test_s, test_u and test_n; left out means none.
            A clip of the unused split TODO is always added.
        num_frames: frames (and seconds) per clip; the official data have 10.
        frame_size: height and width in pixels.
        progress: wraps the list of clips while they are written, e.g. `tqdm` or `rich.progress.track`.
    """
    require_counts(clips, SPLITS)
    root = check_new_folder(root, "root")
    entries = _plan(clips, num_frames, seed)
    rows: list[tuple[dict, str]] = []
    with staged_folder(root) as folder:
        for index, entry in enumerate(progress(entries) if progress else entries):
            rows += _write_clip(folder, entry, index, num_frames, frame_size, seed)
        rows.append(next((row for row in rows if row[0]["split"] == "test_u"), rows[0]))
        with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\r\n")
            writer.writeheader()
            writer.writerows(row for row, _ in rows)
        (folder / "kinds.csv").write_text("\n".join(["kind", *(kind for _, kind in rows)]) + "\n", encoding="utf-8")
    return root


def row_kinds(root: str | Path) -> list[str]:
    """The kind of each row of `metadata.csv` in a folder of `write_ref_avs`: words, sound, both or null.

    `words`: colour or shape decide. `sound`: what sounds decides. `both`: neither alone is enough. `null`: nothing
    fits.
    """
    path = Path(root) / "kinds.csv"
    if not path.is_file():
        raise ValueError(f"root: {root} has no kinds.csv; only folders written by write_ref_avs have one.")
    return path.read_text(encoding="utf-8").splitlines()[1:]


def _plan(clips: dict[str, int], num_frames: int, seed: int) -> list[_Entry]:
    """Every clip to write; null clips borrow the `vid` of a clip of their split, those of test_n one of test_s."""
    entries: list[_Entry] = []
    for split, count in {**{name: clips.get(name, 0) for name in SPLITS}, "TODO": 1}.items():
        vids = [draw_video_id(split, index, num_frames, seed) for index in range(count)]
        nulls = count if split == "test_n" else 0
        if split in ("train", "val") and count > 1:
            nulls = -(-count // _CLIPS_PER_NULL_CLIP)
        entries += [_Entry(split, vid, vid) for vid in vids[: count - nulls]]
        parents = [entry.vid for entry in entries if entry.split == ("test_s" if split == "test_n" else split)]
        for index, vid in enumerate([*parents[:nulls], *vids[len(parents) :]][:nulls]):
            entries.append(_Entry(split, vid, f"null_{'cm'[index % 2]}-{vid}"))
    return entries


def _write_clip(
    root: Path, entry: _Entry, index: int, num_frames: int, frame_size: tuple[int, int], seed: int
) -> list[tuple[dict, str]]:
    """Write the files of a clip; return its rows of metadata, each with its kind."""
    rng = np.random.default_rng([seed, crc32(f"media/{entry.clip}".encode())])
    plan = "silent" if entry.clip.startswith("null_m-") else "both" if entry.clip.startswith("null_c-") else None
    required = [str(rng.choice(UNSEEN))] if entry.split == "test_u" else []
    objects = draw_objects(rng, num_frames, SEEN, plan, required)
    clip = render_clip(rng, num_frames, frame_size, objects=objects)
    expressions = _choose(entry, clip, draw_expressions(rng, objects))
    media = root / "media" / entry.clip
    (media / "frames").mkdir(parents=True)
    for t, frame in enumerate(clip.frames):
        Image.fromarray(frame).save(media / "frames" / f"{t}.jpg", quality=95)
    _write_sound(media / "audio.wav", clip.waveform, index)
    fids = sorted(rng.choice(14, len(objects), replace=False).tolist())
    if entry.is_null:
        _write_masks(root / "gt_mask" / entry.clip / "fid_0", np.zeros_like(clip.masks[0]), "L")
    for number, target in enumerate(sorted({item.target for item in expressions if item.target is not None})):
        folder = root / "gt_mask" / entry.clip / f"fid_{fids[target]}"
        _write_masks(folder, clip.masks[target], "RGB" if index == 2 and number == 0 else "L")
    counts: Counter = Counter()
    rows = []
    for item in expressions:
        name = "null" if item.target is None else objects[item.target].category
        counts[name] += 1
        fid = 0 if item.target is None else fids[item.target]
        values = (entry.vid, f"{entry.clip}_{name}_{counts[name]}", entry.split, fid, item.text)
        rows.append((dict(zip(COLUMNS, values, strict=True)), item.kind))
    return rows


def _choose(entry: _Entry, clip: SyntheticClip, expressions: list[Expression]) -> list[Expression]:
    """Sentences to write: up to two of a kind (words: one where others exist), unseen shapes first and one seen shape.

    Null clips get four, two of them about sound where there are so many.
    """
    if entry.is_null:
        nulls = [item for item in expressions if item.kind == "null"]
        on_sound = [item for item in nulls if item.query.sounds is not None]
        return (on_sound[:2] + [item for item in nulls if item.query.sounds is None])[:4]
    novel = [item.category in UNSEEN for item in clip.objects]
    chosen = []
    for kind in ("both", "sound", "words"):
        of_kind = [item for item in expressions if item.kind == kind]
        chosen += sorted(of_kind, key=lambda item: not novel[item.target])[: 1 if kind == "words" and chosen else 2]
    if any(novel):
        chosen.append(next(item for item in expressions if item.kind == "words" and not novel[item.target]))
    return chosen


def _write_masks(folder: Path, masks: np.ndarray, mode: str) -> None:
    folder.mkdir(parents=True)
    for t, mask in enumerate(masks):
        Image.fromarray(mask.astype(np.uint8) * 255).convert(mode).save(folder / f"{t:05d}.png", compress_level=1)


def _write_sound(path: Path, waveform: np.ndarray, index: int) -> None:
    """16-bit sound; every third clip is mono, the first has 44.1 kHz, the second lacks its last 0.3 s."""
    rate = SAMPLING_RATE
    if index == 0:
        rate = 44100
        moments = np.arange(waveform.size * rate // SAMPLING_RATE) * (SAMPLING_RATE / rate)
        waveform = np.interp(moments, np.arange(waveform.size), waveform)
    elif index == 1:
        waveform = waveform[: -int(0.3 * rate)]
    write_wav(path, waveform, rate, mono=index % 3 == 0)
