"""Checkpoints that a training run can be resumed from."""

import json
import re
from pathlib import Path


def last_checkpoint(folder: str | Path) -> str | None:
    """The newest complete checkpoint in the output folder of a run, or None.

    The Trainer writes `trainer_state.json` last: a checkpoint without a readable one was cut off while it was written.
    """
    steps = {}
    for path in Path(folder).glob("checkpoint-*"):
        match = re.fullmatch(r"checkpoint-(\d+)", path.name)
        if match and _is_complete(path):
            steps[int(match[1])] = str(path)
    return steps[max(steps)] if steps else None


def _is_complete(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
