"""Show what a method does on synthetic clips, end to end in a few minutes on two CPU cores.

    python examples/run_demo.py --out runs/demo
    python examples/run_demo.py --method aural-sam2 --out runs/demo

SAM2-LOVE answers sentences: the shipped one is scored with and without sound and words, and a fresh one is trained.
EEMC, SimToken and ReferFormer, which does not hear, answer them, too, and are trained from the start. The others find
what sounds: each is scored untrained, trained, and scored again, with its sound and in silence. All segment a video
file. Writes `report.html`, `report.json` and the trained model in `model/`.
"""

import argparse
import sys
from pathlib import Path

from demo import sam2_love, sentences, sounding_objects
from tiny.models import SHIPPED
from transformers.utils import logging

DEMOS = {method: demo for demo in (sam2_love, sentences, sounding_objects) for method in demo.DEFAULTS}
# One for each part of a training.
FEWEST_STEPS = 4


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--method", choices=DEMOS, default="sam2-love")
    parser.add_argument("--model", type=Path, default=SHIPPED, help="trained SAM2-LOVE")
    steps = ", ".join(f"{demo.DEFAULTS[method]['steps']} for {method}" for method, demo in DEMOS.items())
    parser.add_argument("--steps", type=int, help=f"of training, by default {steps}")
    parser.add_argument(
        "--clips",
        type=int,
        help=f"of each test split of methods that answer sentences, by default {sentences.DEFAULTS['eemc']['clips']}; "
        f"for the others of each subset that is trained on, by default {sounding_objects.DEFAULTS['gavs']['clips']}",
    )
    parser.add_argument(
        "--host_steps", type=int, default=250, help="of the SAM, PVT v2, ResNet or Mask2Former that a method builds on"
    )
    arguments = parser.parse_args(argv)
    demo = DEMOS[arguments.method]
    for name in ("steps", "clips"):
        if getattr(arguments, name) is None:
            setattr(arguments, name, demo.DEFAULTS[arguments.method][name])
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
