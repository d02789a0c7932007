"""Show what a method does on synthetic clips, end to end in a few minutes on two CPU cores.

    python examples/run_demo.py --out runs/demo
    python examples/run_demo.py --method aural-sam2 --out runs/demo

SAM2-LOVE answers sentences: the shipped one is scored with and without sound and words, and a fresh one is trained. The
others find what sounds: each is scored untrained, trained, and scored again, with its sound and in silence. Both
segment a video file. Writes `report.html`, `report.json` and the trained model in `model/`.
"""

import argparse
import sys
from pathlib import Path

from demo import sam2_love, sounding_objects
from tiny.models import METHODS, SHIPPED
from transformers.utils import logging

DEFAULTS = sam2_love.DEFAULTS | sounding_objects.DEFAULTS
# One for each part of a training.
FEWEST_STEPS = 4


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--method", choices=["sam2-love", *METHODS], default="sam2-love")
    parser.add_argument("--model", type=Path, default=SHIPPED, help="trained SAM2-LOVE")
    steps = ", ".join(f"{values['steps']} for {method}" for method, values in DEFAULTS.items())
    parser.add_argument("--steps", type=int, help=f"of training, by default {steps}")
    parser.add_argument(
        "--clips",
        type=int,
        help=f"of each test split of sam2-love, by default {DEFAULTS['sam2-love']['clips']}; for the others of each "
        f"subset that is trained on, by default {DEFAULTS['gavs']['clips']}",
    )
    parser.add_argument("--host_steps", type=int, default=250, help="of the SAM or PVT v2 that a method builds on")
    arguments = parser.parse_args(argv)
    demo = sam2_love if arguments.method == "sam2-love" else sounding_objects
    for name in ("steps", "clips"):
        if getattr(arguments, name) is None:
            setattr(arguments, name, DEFAULTS[arguments.method][name])
    if not (arguments.model / "config.json").is_file():
        parser.error(f"{arguments.model} is no checkpoint, it has no config.json")
    if arguments.clips < demo.FEWEST_CLIPS:
        parser.error(f"--clips: at least {demo.FEWEST_CLIPS} are needed, got {arguments.clips}")
    if arguments.steps < FEWEST_STEPS:
        parser.error(f"--steps: at least {FEWEST_STEPS} are needed, got {arguments.steps}")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    demo.run(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
