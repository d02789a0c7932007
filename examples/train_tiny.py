"""Train the tiny models of this repository from nothing, on two CPU cores.

    python examples/train_tiny.py --method sam2-love --out runs/tiny
    python examples/train_tiny.py --method aural-sam2 --out runs/aural-sam2-tiny
    python examples/train_tiny.py --method simtoken --out runs/simtoken-tiny

What is in the output folder already is not trained again. `--method METHOD --help` shows a method's options.
"""

import argparse
import sys

from tiny import train_aural_sam2, train_sam2_love, train_simtoken

METHODS = {"sam2-love": train_sam2_love, "aural-sam2": train_aural_sam2, "simtoken": train_simtoken}


def main(argv: list[str]) -> None:
    chosen = argparse.ArgumentParser(add_help=False)
    chosen.add_argument("--method", choices=METHODS, default="sam2-love", help="what to train (default: %(default)s)")
    training = METHODS[chosen.parse_known_args(argv)[0].method]
    parser = argparse.ArgumentParser(description=training.__doc__.splitlines()[0], parents=[chosen])
    training.add_options(parser)
    training.run(parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
