"""What a training leaves in its output folder is not made again."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from lavseg.data import write_ref_avs

# A stage writes it last.
LOG = "training_log.json"


def run_stages(stages: Mapping[Path, Callable[[Path], None]]) -> None:
    """Run each stage with its folder, new and empty; those with a `LOG` are done."""
    for folder, stage in stages.items():
        if (folder / LOG).is_file():
            print(f"{folder} is there already")
            continue
        print(folder, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        stage(folder)


def keep_ref_avs(folder: Path, counts: dict[str, int], seed: int) -> None:
    """Write a synthetic Ref-AVS tree with so many clips for each split; a half-written one is written anew."""
    if not (folder / "kinds.csv").is_file():  # the last file that is written
        shutil.rmtree(folder, ignore_errors=True)
        write_ref_avs(folder, counts, seed=seed)
