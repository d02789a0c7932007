"""Train all methods on the same synthetic data for as many steps, and compare them.

    python examples/compare.py --out runs/compare

Two tables. `hearing`: the methods that hear and see only, on clips in the layout of AVSBench, scored where one object
sounds, where several do, and in silence. `reading`: the methods that read, on clips in the layout of Ref-AVS,
scored on seen and unseen objects and on sentences that fit nothing.

All but ReferFormer hear, with the VGGish of the shipped SAM2-LOVE, and read with its text encoder, SimToken with a
language model that starts from random weights. They build on its SAM2, or on a tiny SAM, PVT v2, ResNet or Mask2Former
that is trained on the drawn band first (`tiny/hosts.py`). SAM2-LOVE itself is trained anew, as its shipped checkpoint
learned from other clips for longer.

Each learns in single frames first, then from clips. A method that is added to `METHODS` or `READERS` of
`tiny/models.py` has its row.

Writes `comparison.md`, `comparison.html`, a plot for each table and `comparison.json`, and for each method
`scores.json`, `training_log.json` and the model. A method that is in the output folder already is not trained again.
Each one runs in a process of its own, so that its peak memory is its own.
"""

import argparse
import json
import sys
from pathlib import Path

from comparison.runs import ROWS, SETTINGS, keep_settings, run_tables
from comparison.tables import write_tables
from tiny.avs_training import CLIP_TRAINING, SENTENCES_PER_STEP
from tiny.hosts import HOSTS
from tiny.models import SHIPPED
from tiny.single_frames import FRAMES_PER_STEP

from lavseg.cli.one_line_errors import one_line_errors


def compare(arguments: argparse.Namespace) -> dict[str, list[dict]]:
    """Train and score every method; returns what is in `comparison.json`."""
    output = arguments.out
    keep_settings(output / "settings.json", {name: getattr(arguments, name) for name in SETTINGS})
    tables = [name for name in arguments.tables if set(ROWS[name]) & set(arguments.methods)]
    found = run_tables(tables, arguments)
    (output / "comparison.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    used = sorted({scores["host"] for rows in found.values() for scores in rows})
    write_tables(output, found, budget(arguments), hosts_note(used))
    return found


def budget(arguments: argparse.Namespace) -> str:
    """What each method was trained for."""
    return (
        f"Every method was trained for {arguments.frame_steps} steps of {FRAMES_PER_STEP} single frames and "
        f"{arguments.steps} of {CLIP_TRAINING['per_device_train_batch_size']} clips of five frames or, where it reads, "
        f"of {SENTENCES_PER_STEP} sentences about clips of ten."
    )


def hosts_note(used: list[str]) -> str:
    """What the methods are built on, which is not part of their training."""
    return f"Hosts, before the methods begin: {'; '.join(f'{name}, {HOSTS[name]}' for name in used)}."


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    methods = list(dict.fromkeys(name for rows in ROWS.values() for name in rows))
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--tables", nargs="+", default=list(ROWS), choices=ROWS)
    parser.add_argument("--methods", nargs="+", default=methods, choices=methods)
    parser.add_argument("--model", type=Path, default=SHIPPED, help="SAM2-LOVE, for its SAM2, VGGish and text encoder")
    parser.add_argument("--frame_steps", type=int, default=400, help="of each method, 16 single frames each")
    parser.add_argument("--steps", type=int, default=40, help="of each method, 16 clips or 8 sentences each")
    parser.add_argument("--host_steps", type=int, default=400, help="of SAM, PVT v2, ResNet and Mask2Former before")
    parser.add_argument("--clips", type=int, default=400, help="training clips of each data set")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    for name in ("frame_steps", "steps", "host_steps", "clips"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name}: at least 1 is needed, got {getattr(arguments, name)}")
    with one_line_errors("compare.py"):
        compare(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
