"""What lavseg does, end to end on synthetic clips in a few minutes on two CPU cores.

Scores the shipped SAM2-LOVE on seen, unseen and null clips, with and without sound and words; trains a fresh one with
the same encoders and host; segments a video file. Writes `report.json`, `report.html` and the fresh model in `model/`.
"""

import argparse
import copy
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from tiny.models import fresh_sam2_love
from tiny.pointing import EncodedClip, Pointing, teach_pointing
from tiny.scores import predict, values

from lavseg import ClipCollator, Sam2LoveModel
from lavseg.checkpoint import load_checkpoint
from lavseg.data import (
    draw_expressions,
    draw_scene,
    load_ref_avs,
    row_kinds,
    row_masks,
    row_novelties,
    write_ref_avs,
)
from lavseg.data.synthetic.object_tables import ClipObject, clip_objects
from lavseg.evaluation.evaluate_model import evaluate
from lavseg.inference.segment_file import segment_file

from .examples import Example
from .report_sam2_love import WORST, write_report
from .scoring import (
    NOVELTIES,
    SCORES,
    ScoredRow,
    first_rows,
    score_rows,
    score_without,
    summary,
    worst_first,
)
from .stages import SEED, Stages, prepare_folder
from .training import WatchedTraining, about, seconds_of
from .video import Video, write_scene

STAGES = 8
DEFAULTS = {"sam2-love": {"steps": 850, "clips": 40}}
# With fewer not every kind of sentence occurs.
FEWEST_CLIPS = 4
EXAMPLES_PER_KIND, WORST_EXAMPLES = 2, 4
EVALUATED_ROWS = 16
# Shares of the steps: pointing in single frames, at what is named before what is heard; pointing while a clip passes;
# and SAM2-LOVE itself.
POINTING = (
    (0.6, {"num_frames": 1, "peak_rate": 1e-3, "clips": 48, "expressions": 2, "kinds": ("words",)}),
    (0.15, {"num_frames": 1, "peak_rate": 1e-3, "clips": 48, "expressions": 2}),
    (0.1, {"num_frames": 10, "peak_rate": 7e-4, "clips": 16, "expressions": 3}),
)
METHOD_SHARE = 0.15
METHOD = {"per_device_train_batch_size": 8, "learning_rate": 4e-4}
LOGGING_STEPS = 10
# Clips for pointing, for each one of the test splits.
POINTING_CLIPS = 10


def run(arguments: argparse.Namespace) -> dict:
    """Everything the demo does; returns what is in `report.json`."""
    output, stages = prepare_folder(arguments.out), Stages(STAGES)

    stages.begin("Write synthetic clips in the layout of Ref-AVS")
    root = write_ref_avs(output / "data", _clip_counts(arguments.clips), seed=SEED, progress=stages.bar("clips"))
    splits = {split: load_ref_avs(root, split) for split in ("train", "val", "test_s", "test_u", "test_n")}

    stages.begin("Load the shipped SAM2-LOVE")
    model, processor = load_checkpoint(arguments.model)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    collator = ClipCollator(processor)
    stages.say(f"{model.num_parameters() / 1e6:.1f} M parameters")

    stages.begin("Score it on seen, unseen and null clips")
    labels = row_kinds(root), row_novelties(root)
    seen, unseen, null = (
        score_rows(model, collator, splits[split], labels, stages.bar(title))
        for split, title in (("test_s", "seen"), ("test_u", "unseen"), ("test_n", "null"))
    )
    results = summary(seen, unseen, null)
    untrained = evaluate(
        fresh_sam2_love(model, SEED), collator, splits["test_s"], progress=stages.bar("an untrained prompter")
    )
    results["untrained"] = values(untrained, *SCORES)
    stages.say_scores({name: results[name] for name in ("seen", "unseen", "untrained", "null")})

    stages.begin("Take the sound away, then the words")
    without = score_without(model, collator, splits["test_s"], seen, stages)
    stages.say_scores(without)
    results.update(without)

    stages.begin(f"Train a fresh one for {arguments.steps} steps")
    fresh = fresh_sam2_love(model, SEED)
    history = train(fresh, collator, splits, POINTING_CLIPS * arguments.clips, arguments.steps, output, stages)

    stages.begin("Score the fresh one")
    trained = evaluate(fresh, collator, splits["test_s"], progress=stages.bar("trained here"))
    results["trained_here"] = values(trained, *SCORES)
    stages.say_scores({"trained here": results["trained_here"]})

    stages.begin("Segment a video file")
    video = segment_video(arguments.model, output)

    stages.begin("Write the report")
    objects = clip_objects(root)
    examples = [
        make_example(model, collator, kind, item, objects[item.clip]) for kind, item in pick_rows(seen, unseen, null)
    ]
    results["seconds"] = round(stages.seconds, 1)
    write_report(output / "report.html", results, history, examples, video)
    stages.end(output, results)
    return results


def _clip_counts(clips: int) -> dict[str, int]:
    return {
        "train": 4 * clips,
        "val": max(2, clips // 4),
        "test_s": clips,
        "test_u": clips,
        "test_n": max(1, clips // 2),
    }


def train(
    model: Sam2LoveModel,
    collator: ClipCollator,
    splits: dict[str, Dataset],
    clips: int,
    steps: int,
    output: Path,
    stages: Stages,
) -> list[dict]:
    """Teach the token to point on so many clips, then train SAM2-LOVE and save it; returns a log as the Trainer's."""
    watched = [row for row, is_null in enumerate(splits["val"]["is_null"]) if not is_null][:EVALUATED_ROWS]
    training = WatchedTraining(model, collator, splits["val"].select(watched), steps, stages)
    parts = [
        {**part, "steps": max(1, round(share * steps)), "logging_steps": LOGGING_STEPS} for share, part in POINTING
    ]
    rest, done = max(1, round(METHOD_SHARE * steps)), [0, 0]  # steps of earlier parts, and of this one

    def announce(encoded: list[EncodedClip]) -> None:
        seconds = training_seconds(model, collator, splits["train"], encoded, parts, rest)
        stages.say(f"this takes {about(seconds + training.measuring_seconds)}")

    def note(entry: dict) -> None:
        if entry["step"] <= done[1]:
            done[0] += done[1]
        done[1] = entry["step"]
        training.note(sum(done), pointing_loss=entry["loss"], hits=entry["hits"])

    bar = stages.bar("clips for pointing")
    teach_pointing(model, collator.processor, SEED, clips, parts, note, bar, announce)
    training.train(rest, splits["train"], output, **METHOD)
    return training.log


def training_seconds(
    model: Sam2LoveModel,
    collator: ClipCollator,
    rows: Dataset,
    encoded: list[EncodedClip],
    parts: list[dict],
    steps: int,
) -> float:
    """About how long it takes to teach pointing in these parts and then to train for `steps`, tried on a copy."""
    model, seconds = copy.deepcopy(model).train(), 0.0
    pointing = Pointing(model, collator.processor, np.random.default_rng(SEED))
    for part in parts:
        sizes = [part[name] for name in ("num_frames", "clips", "expressions")]
        seconds += part["steps"] * seconds_of(lambda sizes=sizes: pointing.loss(encoded, *sizes)[0].backward())
    batch = [rows[index % len(rows)] for index in range(METHOD["per_device_train_batch_size"])]
    return seconds + steps * seconds_of(lambda: model(**collator(batch).to(model.device)).loss.backward(), 1)


def segment_video(checkpoint: Path, output: Path) -> Video:
    """Make a video file with sound and segment three kinds of expressions in it, as `lavseg segment` does."""
    rng = np.random.default_rng(SEED)
    objects = draw_scene(rng, "both")
    write_scene(output / "clip.mp4", rng, objects)
    by_kind = {item.kind: item.text for item in draw_expressions(rng, objects) if item.target is not None}
    summary = segment_file(output / "clip.mp4", list(by_kind.values()), checkpoint, output / "segmented")
    return Video(output / "segmented" / "overlay.mp4", [(e["text"], e["color"]) for e in summary["expressions"]])


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
    model: Sam2LoveModel, collator: ClipCollator, kind: str, item: ScoredRow, objects: list[ClipObject]
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
