"""Checkpoints that a training run can be resumed from."""

import json
import re
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import TrainingArguments
from transformers.trainer_pt_utils import safe_globals
from transformers.utils import logging

from ..output_folders import check_writable_folder

# What the Trainer's files hold at least, by their names.
_KEYS = {
    "optimizer.pt": {"state", "param_groups"},
    "scheduler.pt": {"last_epoch"},
    "rng_state*.pth": {"python", "numpy", "cpu"},
}
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_ADAPTER = "adapter_model.safetensors"

logger = logging.get_logger(__name__)


def last_checkpoint(folder: str | Path) -> str | None:
    """The newest complete checkpoint in the output folder of a run, or None. A newer one that lacks something, or holds
    it damaged, is named in a warning."""
    steps = {}
    for path in Path(folder).glob("checkpoint-*"):
        if match := re.fullmatch(r"checkpoint-(\d+)", path.name):
            steps[int(match[1])] = path
    for step in sorted(steps, reverse=True):
        if (fault := checkpoint_fault(steps[step])) is None:
            return str(steps[step])
        logger.warning(f"{steps[step]}: is passed over, {fault}")
    return None


def checkpoint_fault(checkpoint: str | Path) -> str | None:
    """Why a training cannot go on from a checkpoint as if it had never stopped, in a few words; None where it can."""
    checkpoint = Path(checkpoint)
    # Written last.
    if not isinstance(_read_json(checkpoint / "trainer_state.json"), dict):
        return "trainer_state.json is missing or damaged: it was cut off while it was written"
    # DeepSpeed and FSDP keep weights and optimizer in files of their own.
    if (checkpoint / "optimizer.bin").is_file() or any(path.is_dir() for path in checkpoint.iterdir()):
        return None
    index = _read_json(checkpoint / _INDEX)
    whole = _ADAPTER if (checkpoint / "adapter_config.json").is_file() else _WEIGHTS
    weights = set(index["weight_map"].values()) if index else {whole}
    for name in sorted(weights):
        if not _has_tensors(checkpoint / name):
            return f"{name} is missing or damaged"
    for pattern, keys in _KEYS.items():
        files = sorted(checkpoint.glob(pattern))
        if not files or not all(_holds(file, keys) for file in files):
            return f"{pattern.replace('*', '')} is missing or damaged"
    return None


def warn_of_other_processes(checkpoint: str | Path, processes: int) -> None:
    """Say what it means to go on with another number of processes than a checkpoint was written by, each of which left
    the state of its random numbers."""
    before = len(list(Path(checkpoint).glob("rng_state*.pth")))
    if before not in (0, processes):
        logger.warning(
            f"{checkpoint}: was written by {before} processes and is resumed on {processes}; clips are dealt out anew, "
            "so that in this epoch some come twice and others not at all, and random numbers are others"
        )


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _has_tensors(path: Path) -> bool:
    try:
        with safe_open(path, "pt"):
            return True
    except (OSError, SafetensorError):
        return False


def _holds(path: Path, keys: set[str]) -> bool:
    """Whether a file of `torch.save` is whole, by its check sums, and holds a dictionary with these keys."""
    try:
        with zipfile.ZipFile(path) as archive:
            whole = archive.testzip() is None
        with safe_globals():
            return whole and keys <= torch.load(path, map_location="cpu", weights_only=True, mmap=True).keys()
    except Exception:  # what torch raises for a damaged file is not bounded
        return False


def resumed_from(args: TrainingArguments, resume: bool) -> str | None:
    """The checkpoint of an interrupted run to go on from, if it is to.

    Args:
        resume: from the newest complete one.

    Raises:
        ValueError: when there is none, it cannot be resumed, or a new run would write over an earlier one.
    """
    output_dir = check_writable_folder(args.output_dir, "output_dir")
    if resume:
        if (found := last_checkpoint(output_dir)) is None:
            raise ValueError(
                f"resume: {output_dir} holds no complete checkpoint; leave --resume out or choose another folder to "
                "start anew"
            )
        return found
    if args.resume_from_checkpoint is not None:
        if fault := checkpoint_fault(args.resume_from_checkpoint):
            raise ValueError(f"resume_from_checkpoint: {args.resume_from_checkpoint} cannot be resumed, {fault}")
        return args.resume_from_checkpoint
    for state in output_dir.glob("checkpoint-*/trainer_state.json"):
        raise ValueError(
            f"output_dir: {state.parent} is there already; pass --resume to go on, or choose another folder"
        )
    if (output_dir / "config.json").exists():
        raise ValueError(f"output_dir: {output_dir} holds a model already, choose another folder")
    return None
