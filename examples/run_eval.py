"""Evaluate a checkpoint on splits of a data set, under one publication's protocol.

    python examples/run_eval.py --model CHECKPOINT --data REFAVS --split test_s test_u test_n --protocol ref_avs

prints J, F and their mean of every split, of null splits S; `--out` writes all scores to a file as JSON.
`lavseg evaluate` does the same; this one can be started on several processes:
`torchrun --nproc_per_node 2 examples/run_eval.py ...`.
"""

import argparse
import sys
from pathlib import Path

from lavseg.cli.evaluate import print_scores
from lavseg.cli.one_line_errors import one_line_errors
from lavseg.evaluation.clip_batches import SENTENCES
from lavseg.evaluation.evaluate_checkpoint import evaluate_checkpoint


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="checkpoint folder or Hub id")
    parser.add_argument("--data", required=True, help="folder of the data set")
    parser.add_argument("--dataset", default="ref_avs", help="layout of the data set, ref_avs or avsbench")
    parser.add_argument("--subset", nargs="+", default=[], help="of AVSBench: one or more of s4, ms3, v1s, v1m, v2")
    parser.add_argument("--split", nargs="+", action="extend", help="splits to score; all test splits by default")
    parser.add_argument("--protocol", help="the data set's own by default")
    parser.add_argument("--out", type=Path, help="file for the scores")
    parser.add_argument("--workers", type=int, default=0, help="processes that read the data")
    parser.add_argument("--sentences", type=int, default=SENTENCES, help="sentences about a clip that are run together")
    parser.add_argument("--across_clips", action="store_true", help="EEMC alone: rows of a batch attend to one another")
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16 (autocast)")
    given = parser.parse_args(argv)
    with one_line_errors("run_eval.py"):
        report = evaluate_checkpoint(
            given.model,
            given.data,
            given.split,
            given.protocol,
            given.dataset,
            given.subset,
            given.workers,
            given.bf16,
            given.out,
            sentences=given.sentences,
            across_clips=given.across_clips,
        )
        if report is not None:
            print_scores(report)


if __name__ == "__main__":
    main(sys.argv[1:])
