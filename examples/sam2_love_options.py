"""Measure SAM2-LOVE's options for absent and late objects against the paper's plain form, on a synthetic Ref-AVS tree.

    python examples/train_tiny.py --method sam2-love --out runs/tiny
    python examples/sam2_love_options.py --start runs/tiny/pointing --data runs/tiny/data --test TREE --out runs/options

Every arm trains from the same checkpoint for the same number of steps. On `--test` J and F of test_s, S of test_n, J of
the sentences of val whose object the first frame does not show yet, and the area under the ROC curve of the score
against presence are measured; where the folder does not exist it is drawn. `report.json` has the scores, and an arm
that is there already is not trained again.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from tiny.optimization import training_arguments
from tiny.presence import RowScores, roc_auc
from tiny.train_sam2_love import LOSS_WEIGHTS, METHOD_TRAINING
from transformers import AutoModel, AutoProcessor

from lavseg import ClipCollator, LavsegTrainer
from lavseg.cli.one_line_errors import one_line_errors
from lavseg.cli.printing import print_table
from lavseg.data import load_ref_avs, row_masks, write_ref_avs
from lavseg.evaluation.clip_batches import load_clips
from lavseg.evaluation.evaluate_model import evaluate
from lavseg.evaluation.loop import run
from lavseg.evaluation.scores import MaskScores
from lavseg.models.sam2_love import Sam2LoveModel
from lavseg.output_folders import write_report

# Few objects enter late: val is where they are looked for.
TEST_CLIPS = {"test_s": 150, "test_n": 30, "val": 400}
COLUMNS = {"j_and_f": "J&F", "jaccard": "J", "jaccard_late": "J, late", "s": "S", "roc_auc": "ROC AUC"}


@dataclass(frozen=True)
class Arm:
    """What differs from the paper's plain form: fields of the config, weights of the loss, share of synthetic nulls."""

    config: dict[str, Any] = field(default_factory=dict)
    loss_weights: dict[str, float] = field(default_factory=dict)
    null_probability: float = 0.0


# A best key frame is chosen by the object score and the predicted IoU, which only `LOSS_WEIGHTS` trains.
ARMS = {
    "plain": Arm(),
    "presence_head": Arm({"presence_head": True}),
    "synthetic_nulls": Arm(null_probability=0.2),
    "best_key_frame": Arm({"key_frame": "best"}, LOSS_WEIGHTS),
    "plus": Arm({"presence_head": True, "key_frame": "best", "handoff": "mask"}, LOSS_WEIGHTS, 0.2),
}
PLAIN = {"presence_head": False, "key_frame": "first", "handoff": "memory"}


def late_rows(rows: Dataset) -> Dataset:
    """The rows whose object is in the clip but not on its first frame."""
    shown = (row_masks(row).any((1, 2)) for row in rows)
    return rows.select([index for index, frames in enumerate(shown) if frames.any() and not frames[0]])


def train(arm: Arm, start: Path, data: Path, folder: Path, steps: int, seed: int) -> Sam2LoveModel:
    """The checkpoint `start` after `steps` of 16 sentences each in the form of `arm`."""
    model = AutoModel.from_pretrained(start, dtype=torch.float32, **{**PLAIN, **arm.config})
    trainer = LavsegTrainer(
        model=model,
        args=training_arguments(
            folder,
            seed,
            max_steps=steps,
            **METHOD_TRAINING,
            warmup_steps=steps // 10,
            save_strategy="no",
            loss_weights=arm.loss_weights,
            synthetic_null_probability=arm.null_probability,
        ),
        train_dataset=load_ref_avs(data, "train"),
        data_collator=ClipCollator(AutoProcessor.from_pretrained(start)),
    )
    trainer.train()
    return model.eval()


def score(model: Sam2LoveModel, collator: ClipCollator, test: Path) -> dict[str, float]:
    """The values of `COLUMNS`."""
    (seen, present), (null, absent) = (
        score_split(model, collator, load_ref_avs(test, split)) for split in ("test_s", "test_n")
    )
    return {
        "jaccard": seen["jaccard"],
        "j_and_f": seen["j_and_f"],
        "jaccard_late": evaluate(model, collator, late_rows(load_ref_avs(test, "val"))).compute()["jaccard"],
        "s": null["s"],
        "roc_auc": roc_auc(present, absent),
    }


def score_split(model: Sam2LoveModel, collator: ClipCollator, rows: Dataset) -> tuple[dict[str, float], np.ndarray]:
    """What the masks of all rows score, and the model's own score of each, `[N]`."""
    masks = MaskScores(["frame"], collator.processor, model.scale_masks, len(rows), batch_size=1)
    own = RowScores(collator.processor, len(rows))
    run(model, load_clips(rows, collator), [masks, own])
    return masks.compute(), own.of_rows


def measure(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The scores of every arm, kept in the output folder as they come."""
    if not (arguments.test / "kinds.csv").is_file():  # the last file that is written
        write_ref_avs(arguments.test, TEST_CLIPS, seed=arguments.test_seed)
    path, collator = arguments.out / "report.json", ClipCollator(AutoProcessor.from_pretrained(arguments.start))
    report = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name in arguments.arms:
        if name not in report:
            folder = arguments.out / name
            model = train(ARMS[name], arguments.start, arguments.data, folder, arguments.steps, arguments.seed)
            report[name] = {"steps": arguments.steps, **score(model, collator, arguments.test)}
            write_report(path, report)
            print(name, json.dumps(report[name]), flush=True)
    return report


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--start", type=Path, required=True, help="checkpoint of SAM2-LOVE that every arm starts from")
    parser.add_argument("--data", type=Path, required=True, help="synthetic Ref-AVS tree, of which train is used")
    parser.add_argument("--test", type=Path, required=True, help="tree with test_s, test_n and val, or a new folder")
    parser.add_argument("--test_seed", type=int, default=1, help="of the tree that is drawn (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=[*ARMS], help="(default: all)")
    parser.add_argument("--steps", type=int, default=300, help="of 16 sentences each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    with one_line_errors("sam2_love_options.py"):
        report = measure(given)
    rows = [(name, *(f"{scores[column]:.3f}" for column in COLUMNS)) for name, scores in report.items()]
    print_table(("arm", *COLUMNS.values()), rows)


if __name__ == "__main__":
    main(sys.argv[1:])
