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
from tiny.scores import values

from lavseg import ClipCollator, Sam2LoveModel
from lavseg.checkpoint import load_checkpoint
from lavseg.evaluation.evaluate_model import evaluate

from .page import Curve
from .report_sentences import Account, write_report
from .scoring import SCORES, score_splits, score_without, summary
from .sentence_examples import pick_examples, segment_video, write_splits
from .stages import SEED, Stages, prepare_folder
from .training import WatchedTraining, about, seconds_of

STAGES = 8
DEFAULTS = {"sam2-love": {"steps": 850, "clips": 40}}
# With fewer not every kind of sentence occurs.
FEWEST_CLIPS = 4
EVALUATED_ROWS = 16
ACCOUNT = Account(
    "The shipped tiny SAM2-LOVE on clips of a drawn band that it has not seen. Made for this report in {minutes} "
    "minutes.",
    {
        "seen": "Shipped model, seen kinds of objects",
        "unseen": "Shipped model, unseen ones and unseen combinations",
        "untrained": "Its encoders with an untrained prompter, seen",
        "trained_here": "Fresh prompter trained in this demo, seen",
    },
    "A fresh model in training",
    "A new prompter on the shipped encoders and SAM2. Its token first learns to point at the object meant, then "
    "SAM2-LOVE trains; {steps} steps in all.",
    (
        Curve("pointing_loss", "Learning to point: loss", "cross-entropy", noisy=True),
        Curve("hits", "Learning to point: hits on unseen clips", "share on the object meant", noisy=True),
        Curve("loss", "SAM2-LOVE itself: loss", "sum of its terms", noisy=True),
        Curve("eval_jaccard", "J on validation clips", "J"),
    ),
)
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
    root = output / "data"
    splits = write_splits(root, arguments.clips, stages)

    stages.begin("Load the shipped SAM2-LOVE")
    model, processor = load_checkpoint(arguments.model)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    collator = ClipCollator(processor)
    stages.say(f"{model.num_parameters() / 1e6:.1f} M parameters")

    stages.begin("Score it on seen, unseen and null clips")
    seen, unseen, null = score_splits(model, collator, splits, root, stages)
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
    examples = pick_examples(model, collator, root, seen, unseen, null)
    results["seconds"] = round(stages.seconds, 1)
    write_report(output / "report.html", ACCOUNT, results, history, examples, video)
    stages.end(output, results)
    return results


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
