"""Evaluate a checkpoint on splits of a data set in the Ref-AVS layout, under one publication's protocol.

    python examples/run_eval.py --model CHECKPOINT --data_root REFAVS --splits test_s test_u test_n --protocol ref_avs

prints J, F, their mean and S of every split and writes them to `--output` as JSON.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from accelerate import PartialState
from rich.console import Console
from rich.table import Table
from transformers import AutoModel, AutoProcessor

import lavseg  # noqa: F401, makes the Auto classes know the models
from lavseg.data import ClipCollator, load_ref_avs
from lavseg.training import LavsegTrainer, LavsegTrainingArguments

# Clips a batch, size and resizing of the true masks with which the publications evaluate on Ref-AVS.
SETTINGS = {
    "ref_avs": (4, (256, 256), "bilinear_gt0"),
    "aural_sam2": (4, (1024, 1024), "nearest"),
    "frame": (1, None, "nearest"),
}
COLUMNS = ("jaccard", "f_score", "j_and_f", "s", "loss")


def evaluate(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Scores by split."""
    batch_size, label_size, mask_resize = SETTINGS[options.protocol]
    splits = {split: load_ref_avs(options.data_root, split) for split in options.splits}
    processor = AutoProcessor.from_pretrained(options.model)
    trainer = LavsegTrainer(
        AutoModel.from_pretrained(options.model),
        LavsegTrainingArguments(
            output_dir=str(options.output.parent),
            per_device_eval_batch_size=batch_size,
            metric_protocols=[options.protocol],
            dataloader_num_workers=options.workers,
            bf16=options.bf16,
            use_cpu=not torch.accelerator.is_available(),
        ),
        ClipCollator(processor, label_size, mask_resize),
    )
    scores = {}
    for split, rows in splits.items():
        found = trainer.evaluate(rows)
        scores[split] = {name: found[f"eval_{name}"] for name in COLUMNS} | {"expressions": len(rows)}
    return scores


def show(scores: dict[str, dict[str, float]], title: str) -> None:
    table = Table("split", "expressions", *COLUMNS, title=title)
    for split, values in scores.items():
        table.add_row(split, str(values["expressions"]), *(f"{values[name]:.4f}" for name in COLUMNS))
    Console().print(table)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="checkpoint folder or Hub id")
    parser.add_argument("--data_root", required=True, help="folder with metadata.csv, media and gt_mask")
    parser.add_argument("--splits", nargs="+", default=["test_s", "test_u", "test_n"])
    parser.add_argument("--protocol", choices=SETTINGS, default="ref_avs")
    parser.add_argument("--output", type=Path, default=Path("evaluation.json"), help="where the scores are written")
    parser.add_argument("--workers", type=int, default=0, help="processes that read the data")
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16 (autocast)")
    options = parser.parse_args(argv)
    try:
        scores = evaluate(options)
    except (ValueError, OSError) as error:
        print("run_eval.py: error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    if not PartialState().is_main_process:
        return 0
    report = {"model": options.model, "data_root": options.data_root, "protocol": options.protocol, "splits": scores}
    options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    show(scores, f"{options.model}, protocol {options.protocol}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
