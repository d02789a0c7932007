"""Clips with sentences for a demo: what is written, what of it is shown, and a video file."""

from pathlib import Path

import numpy as np
from datasets import Dataset
from tiny.scores import predict

from lavseg import ClipCollator
from lavseg.data import draw_expressions, draw_scene, load_ref_avs, row_masks, write_ref_avs
from lavseg.data.synthetic.object_tables import ClipObject, clip_objects
from lavseg.inference.segment_file import segment_file
from lavseg.modeling.base import AudioVisualPreTrainedModel

from .examples import Example
from .report_sentences import WORST
from .scoring import NOVELTIES, ScoredRow, first_rows, worst_first
from .stages import SEED, Stages
from .video import Video, write_scene

EXAMPLES_PER_KIND, WORST_EXAMPLES = 2, 4
SPLITS = ("train", "val", "test_s", "test_u", "test_n")


def write_splits(root: Path, clips: int, stages: Stages) -> dict[str, Dataset]:
    """Write so many clips of each test split, and others in proportion; returns the splits by name."""
    write_ref_avs(root, _clip_counts(clips), seed=SEED, progress=stages.bar("clips"))
    return {split: load_ref_avs(root, split) for split in SPLITS}


def _clip_counts(clips: int) -> dict[str, int]:
    return {
        "train": 4 * clips,
        "val": max(2, clips // 4),
        "test_s": clips,
        "test_u": clips,
        "test_n": max(1, clips // 2),
    }


def segment_video(checkpoint: Path, output: Path) -> Video:
    """Make a video file with sound and segment three kinds of expressions in it, as `lavseg segment` does."""
    rng = np.random.default_rng(SEED)
    objects = draw_scene(rng, "both")
    write_scene(output / "clip.mp4", rng, objects)
    by_kind = {item.kind: item.text for item in draw_expressions(rng, objects) if item.target is not None}
    summary = segment_file(output / "clip.mp4", list(by_kind.values()), checkpoint, output / "segmented")
    return Video(output / "segmented" / "overlay.mp4", [(e["text"], e["color"]) for e in summary["expressions"]])


def pick_examples(
    model: AudioVisualPreTrainedModel,
    collator: ClipCollator,
    root: Path,
    seen: list[ScoredRow],
    unseen: list[ScoredRow],
    null: list[ScoredRow],
) -> list[Example]:
    """What the model answers to the rows of `pick_rows`; the clips are in `root`."""
    objects = clip_objects(root)
    rows = pick_rows(seen, unseen, null)
    return [make_example(model, collator, kind, item, objects[item.clip]) for kind, item in rows]


def pick_rows(seen: list[ScoredRow], unseen: list[ScoredRow], null: list[ScoredRow]) -> list[tuple[str, ScoredRow]]:
    """The first rows of each kind and novelty, of different clips, and of the other rows those that score lowest."""
    shown: set[str] = set()
    parts = {kind: [item for item in seen if item.kind == kind] for kind in ("words", "sound", "both")}
    parts |= {name: [item for item in unseen if item.novelty == name] for name in NOVELTIES}
    chosen = [
        (kind, item)
        for kind, rows in {**parts, "null": null}.items()
        for item in first_rows(rows, EXAMPLES_PER_KIND, shown)
    ]
    others = [item for item in seen + unseen if not any(item is first for _, first in chosen)]
    return chosen + [(WORST, item) for item in first_rows(worst_first(others), WORST_EXAMPLES, set())]


def make_example(
    model: AudioVisualPreTrainedModel, collator: ClipCollator, kind: str, item: ScoredRow, objects: list[ClipObject]
) -> Example:
    """What the model answers to a row of a data set whose clip shows these objects."""
    row, scores = item.rows[item.index], item.metric.compute()
    frames = np.stack([np.asarray(frame.convert("RGB")) for frame in row["frames"]])
    truth = np.zeros((len(objects), *frames.shape[:3]), bool)
    if not row["is_null"]:
        truth[[other.fid for other in objects].index(row["fid"])] = row_masks(row)
    return Example(
        kind=kind,
        text=row["text"].strip(),
        frames=frames,
        objects=objects,
        truth=truth,
        predicted=predict(model, collator, row),
        score=f"S {scores['s']:.2f}" if row["is_null"] else f"J&F {scores['j_and_f']:.2f}",
    )
