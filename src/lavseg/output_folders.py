"""Where results are to be written."""

import os
from pathlib import Path


def check_can_be_made(path: Path) -> None:
    """Look whether `path` is there or can be made.

    Raises:
        ValueError: when the nearest thing above it is no folder one may write into.
    """
    ancestor = next(parent for parent in path.absolute().parents if parent.exists())
    if not ancestor.is_dir() or not os.access(ancestor, os.W_OK):
        raise ValueError(f"{path}: cannot be made, {ancestor} is not a folder one may write into")
