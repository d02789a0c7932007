"""Measure how well a model's own `score` tells sentences whose object is in the clip from those whose object is absent.

    python examples/calibration.py --model CHECKPOINT --data REFAVS --split test_s test_u test_n

prints for every split the mean score and the share of rows that score 0, and over all rows the area under the ROC curve
of the score against presence: the share of pairs of a row with its object and a row without in which the first has the
higher score, equal scores counted half. 1 is perfect, 0.5 is chance. `--out` receives the same as JSON.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tiny.presence import roc_auc, score_rows

from lavseg import ClipCollator
from lavseg.checkpoint import load_checkpoint
from lavseg.cli.one_line_errors import one_line_errors
from lavseg.cli.printing import print_table
from lavseg.data import load_ref_avs
from lavseg.output_folders import check_new_file, write_report


def measure(model: str, data: str, splits: Sequence[str]) -> dict:
    """What `--out` receives."""
    rows = {split: load_ref_avs(data, split) for split in splits}
    kinds = {bool(null) for part in rows.values() for null in part["is_null"]}
    if kinds != {False, True}:
        missing = "a null sentence" if True not in kinds else "an object"
        raise ValueError(f"--split: no row of {', '.join(splits)} has {missing}; name splits with both kinds")
    network, processor = load_checkpoint(model)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    collator, report = ClipCollator(processor), {}
    scores: dict[bool, list[float]] = {True: [], False: []}
    for split, part in rows.items():
        found, null = score_rows(network, collator, part, split), np.array(list(part["is_null"]))
        report[split] = {
            "rows": len(part),
            "null_rows": int(null.sum()),
            "mean_score": float(found.mean()),
            "zero_share": float((found == 0).mean()),
        }
        scores[True] += found[~null].tolist()
        scores[False] += found[null].tolist()
    return {"model": model, "data": data, "splits": report, "roc_auc": roc_auc(scores[True], scores[False])}


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder or Hub id of a checkpoint that reads sentences")
    parser.add_argument("--data", required=True, help="folder of Ref-AVS")
    parser.add_argument("--split", nargs="+", default=["test_s", "test_u", "test_n"], help="splits to score")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    given = parser.parse_args(argv)
    with one_line_errors("calibration.py"):
        if given.out:
            check_new_file(given.out, "--out")
        report = measure(given.model, given.data, given.split)
        if given.out:
            write_report(given.out, report)
    names = ("rows", "null_rows", "mean_score", "zero_share")
    rows = [(split, *(f"{found[name]:.4g}" for name in names)) for split, found in report["splits"].items()]
    print_table(("split", *names), rows)
    print(f"area under the ROC curve of score against presence: {report['roc_auc']:.4f}")


if __name__ == "__main__":
    main(sys.argv[1:])
