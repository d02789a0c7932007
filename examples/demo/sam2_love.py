"""What lavseg does, end to end on synthetic clips in a few minutes on two CPU cores.

Scores the shipped SAM2-LOVE on seen, unseen and null clips, with and without sound and words; trains a fresh one with
the same encoders and host; segments a video file. Writes `report.json`, `report.html` and the fresh model in `model/`.
"""

import argparse
import copy
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from tiny.pointing import Pointing, encode_clips, teach_pointing
from tiny.scores import blanker, silencer, values

from lavseg import ClipCollator, Sam2LoveModel
from lavseg.checkpoint import load_checkpoint
from lavseg.data import draw_expressions, draw_objects, load_ref_avs, row_kinds, write_ref_avs
from lavseg.evaluation.evaluate_model import evaluate
from lavseg.inference.segment_file import segment_file
from lavseg.metrics.protocols import AvsMetric

from .examples import make_example
from .report_sam2_love import write_report
from .stages import SEED, Stages, prepare_folder
from .training import WatchedTraining, about, seconds_of
from .video import Video, write_scene

STAGES = 8
DEFAULTS = {"steps": 1000, "clips": 60}
# With fewer not every kind of sentence occurs.
FEWEST_CLIPS = 4
EXAMPLES_PER_KIND = 2
EVALUATED_ROWS = 24
# Shares of the steps: pointing in single frames, pointing while a clip passes, and SAM2-LOVE itself.
POINTING = (
    (0.75, {"num_frames": 1, "peak_rate": 1e-3, "clips": 48, "expressions": 2}),
    (0.15, {"num_frames": 10, "peak_rate": 7e-4, "clips": 16, "expressions": 3}),
)
METHOD_SHARE = 0.1
METHOD = {"per_device_train_batch_size": 8, "learning_rate": 4e-4}
LOGGING_STEPS = 10
# Clips for pointing, for each one of the test splits.
POINTING_CLIPS = 8


def run(arguments: argparse.Namespace) -> dict:
    """Everything the demo does; returns what is in `report.json`."""
    output, stages = prepare_folder(arguments.output), Stages(STAGES)

    stages.begin("Write synthetic clips in the layout of Ref-AVS")
    root = write_ref_avs(output / "data", _clip_counts(arguments.clips), seed=SEED, progress=stages.bar("clips"))
    splits = {split: load_ref_avs(root, split) for split in ("train", "val", "test_s", "test_u", "test_n")}

    stages.begin("Load the shipped SAM2-LOVE")
    model, processor = load_checkpoint(arguments.checkpoint)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    collator = ClipCollator(processor)
    stages.say(f"{model.num_parameters() / 1e6:.1f} M parameters")

    stages.begin("Score it on seen, unseen and null clips")
    seen_kinds = rows_by_kind(root, splits["test_s"])
    results, kinds = score(model, collator, splits, seen_kinds, stages)

    stages.begin("Take the sound away, then the words")
    results.update(score_without(model, collator, seen_kinds, kinds, stages))

    stages.begin(f"Train a fresh one for {arguments.steps} steps")
    fresh = fresh_model(model)
    history = train(fresh, collator, splits, POINTING_CLIPS * arguments.clips, arguments.steps, output, stages)

    stages.begin("Score the fresh one")
    results["trained_here"] = values(
        evaluate(fresh, collator, splits["test_s"], progress=stages.bar("seen")), "jaccard", "f_score", "j_and_f"
    )
    stages.say_scores({"trained here": results["trained_here"]})

    stages.begin("Segment a video file")
    video = segment_video(arguments.checkpoint, output)

    stages.begin("Write the report")
    parts = {**seen_kinds, "unseen": splits["test_u"], "null": splits["test_n"]}
    examples = [make_example(model, collator, kind, row) for kind, row in pick_rows(parts)]
    results["seconds"] = round(stages.seconds, 1)
    write_report(output / "report.html", results, history, examples, video)
    stages.end(output, results)
    return results


def _clip_counts(clips: int) -> dict[str, int]:
    return {
        "train": 5 * clips,
        "val": max(2, clips // 4),
        "test_s": clips,
        "test_u": clips,
        "test_n": max(1, clips // 2),
    }


def rows_by_kind(root: Path, dataset: Dataset) -> dict[str, Dataset]:
    """The rows of a split of `root` whose sentences need words, sound or both."""
    kinds = row_kinds(root)
    rows = {
        kind: [i for i, row in enumerate(dataset["id"]) if kinds[row] == kind] for kind in ("words", "sound", "both")
    }
    return {kind: dataset.select(indices) for kind, indices in rows.items() if indices}


def joined(metrics: Iterable[AvsMetric]) -> AvsMetric:
    total = AvsMetric("frame")
    for metric in metrics:
        total.merge(metric)
    return total


def score(
    model: Sam2LoveModel, collator: ClipCollator, splits: dict[str, Dataset], seen: dict[str, Dataset], stages: Stages
) -> tuple[dict, dict[str, AvsMetric]]:
    """Scores of the splits and of the model with an untrained prompter, and the metrics of the seen split by kind."""
    names = ("jaccard", "f_score", "j_and_f")
    kinds = {kind: evaluate(model, collator, rows, progress=stages.bar(kind)) for kind, rows in seen.items()}
    metrics = {
        "seen": joined(kinds.values()),
        "unseen": evaluate(model, collator, splits["test_u"], progress=stages.bar("unseen")),
        "untrained": evaluate(
            fresh_model(model), collator, splits["test_s"], progress=stages.bar("an untrained prompter")
        ),
    }
    results = {name: values(metric, *names) for name, metric in metrics.items()}
    results["null"] = values(evaluate(model, collator, splits["test_n"], progress=stages.bar("null")), "s")
    results["kinds"] = {kind: values(metric, *names) for kind, metric in kinds.items()}
    stages.say_scores({name: results[name] for name in ("seen", "unseen", "untrained", "null")})
    return results, kinds


def score_without(
    model: Sam2LoveModel,
    collator: ClipCollator,
    rows: dict[str, Dataset],
    metrics: dict[str, AvsMetric],
    stages: Stages,
) -> dict:
    """J&F where sound is needed with and without it, and where words are needed with and without them."""
    results = {}
    for name, kinds, key, transform in (
        ("needs_sound", ("sound", "both"), "j_and_f_silent", silencer(collator.processor)),
        ("needs_words", ("words", "both"), "j_and_f_blank", blanker(collator.processor)),
    ):
        kinds = [kind for kind in kinds if kind in rows]
        whole = joined(metrics[kind] for kind in kinds)
        without = joined(
            evaluate(model, collator, rows[kind], transform=transform, progress=stages.bar(f"{name}, {kind}"))
            for kind in kinds
        )
        results[name] = {
            "j_and_f": values(whole, "j_and_f")["j_and_f"],
            key: values(without, "j_and_f")["j_and_f"],
            "protocol": "frame",
        }
    stages.say_scores(results)
    return results


def fresh_model(trained: Sam2LoveModel) -> Sam2LoveModel:
    """A model with the encoders and the SAM2 host of `trained` and a new prompter."""
    torch.manual_seed(SEED)
    model = Sam2LoveModel(copy.deepcopy(trained.config))
    model.load_backbones(trained.backbones())
    return model.to(trained.device)


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
    rest, done = max(1, round(METHOD_SHARE * steps)), {}
    seconds = training_seconds(model, collator, splits["train"], clips, parts, rest) + training.measuring_seconds
    stages.say(f"this takes {about(seconds)}")

    def note(entry: dict) -> None:
        done[entry["frames"]] = entry["step"]
        training.note(sum(done.values()), pointing_loss=entry["loss"], hits=entry["hits"])

    teach_pointing(model, collator.processor, SEED, clips, parts, note, stages.bar("clips for pointing"))
    training.train(rest, splits["train"], output, **METHOD)
    return training.log


def training_seconds(
    model: Sam2LoveModel, collator: ClipCollator, rows: Dataset, clips: int, parts: list[dict], steps: int
) -> float:
    """About how long it takes to teach pointing in these parts on so many clips, and to train for `steps` then."""
    model, rng, few = copy.deepcopy(model).train(), np.random.default_rng(SEED), 4
    encoded = encode_clips(model, collator.processor, few, rng, iter)
    seconds = clips / few * seconds_of(lambda: encode_clips(model, collator.processor, few, rng, iter), 1)
    pointing = Pointing(model, collator.processor, rng)
    for part in parts:
        sizes = [part[name] for name in ("num_frames", "clips", "expressions")]
        seconds += part["steps"] * seconds_of(lambda sizes=sizes: pointing.loss(encoded, *sizes)[0].backward())
    batch = [rows[index % len(rows)] for index in range(METHOD["per_device_train_batch_size"])]
    return seconds + steps * seconds_of(lambda: model(**collator(batch).to(model.device)).loss.backward(), 1)


def segment_video(checkpoint: Path, output: Path) -> Video:
    """Make a video file with sound and segment three kinds of expressions in it, as `lavseg segment` does."""
    rng = np.random.default_rng(SEED)
    objects = draw_objects(rng, plan="both")
    write_scene(output / "clip.mp4", rng, objects)
    by_kind = {item.kind: item.text.strip() for item in draw_expressions(rng, objects) if item.target is not None}
    summary = segment_file(output / "clip.mp4", list(by_kind.values()), checkpoint, output / "segmented")
    return Video(output / "segmented" / "overlay.mp4", [(e["text"], e["color"]) for e in summary["expressions"]])


def pick_rows(parts: dict[str, Dataset]) -> list[tuple[str, dict]]:
    """A few rows of each part, of different clips."""
    chosen = []
    for kind, rows in parts.items():
        clips = rows["clip"]
        first_of_clip = [clips.index(clip) for clip in dict.fromkeys(clips)]
        chosen += [(kind, rows[index]) for index in first_of_clip[:EXAMPLES_PER_KIND]]
    return chosen
