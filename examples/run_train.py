"""Train a method on a data set. `lavseg train` does the same; this one can be started on several processes.

From a recipe, whose keys are the arguments (see `--help`) and may be set otherwise here:

    python examples/run_train.py sam2_love --data REFAVS --audio VGGISH --out RUN

From an existing checkpoint:

    python examples/run_train.py --model CHECKPOINT --data REFAVS --out RUN --learning_rate 1e-4

After an interruption, the same command with `--resume`.
"""

import os
import sys

# Or PyTorch warns where a step on several processes reached all that trains, which the next one need not do.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")

from lavseg.cli.one_line_errors import one_line_errors
from lavseg.training.run import train


def main(argv: list[str]) -> None:
    with one_line_errors("run_train.py"):
        train(argv)


if __name__ == "__main__":
    main(sys.argv[1:])
