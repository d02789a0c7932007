"""A training run looked at before it is started: what `lavseg train --check` does."""

import json
import time
from dataclasses import fields
from typing import Any

import torch
from transformers import IntervalStrategy
from transformers.trainer_utils import SaveStrategy

from ..modeling.base import AudioVisualPreTrainedModel
from ..output_folders import without_empty_folders
from .arguments import LavsegTrainingArguments
from .progress import LossLinesCallback
from .run import RunArguments, make_trainer, parse

# Keys that are shown even where they have their defaults.
_ALWAYS = ("learning_rate", "per_device_train_batch_size", "gradient_accumulation_steps", "optim", "seed", "bf16")
# Keys that are about the machine, or that are shown elsewhere.
_HIDDEN = {"model", "plugin", "trust_remote_code", "resume", "encoders", "data_root", "output_dir"}


def check(argv: list[str]) -> dict[str, Any]:
    """Do what a run does up to its first step, on one batch, and keep nothing of it.

    Args:
        argv: as `lavseg.training.run.train` takes it.

    Returns:
        `configuration` (keys of a recipe as they rule here: all of this package's that are set, and those of
        Transformers that are not the defaults), `start` (checkpoints or encoders by name), `parameters` (for `all` and
        each part of the model, how many it has and how many of them train), `rows` of each split that is no stream,
        `clips_per_step`, and `batch`: its `clips`, `loss`, `seconds` and on a GPU `peak_gib` of memory.

    Raises:
        ValueError, OSError: as `train` does.
    """
    run, args, overrides = parse(argv)
    configuration = _configuration(run, args)
    clips_per_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    _only_one_batch(run, args)
    trainer, _ = make_trainer(run, args, overrides)
    trainer.remove_callback(LossLinesCallback)
    model = trainer.accelerator.unwrap_model(trainer.model)
    parameters = _parameters(model)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    with without_empty_folders(args.output_dir):
        loss = trainer.train().training_loss
    counts = {split: len(rows) for split, rows in (trainer.eval_dataset or {}).items()}
    clips = args.train_batch_size
    if not run.streaming:
        counts = {run.train_split: len(trainer.train_dataset), **counts}
        clips = min(clips, len(trainer.train_dataset))
    batch = {"clips": clips, "loss": loss}
    batch["seconds"] = round(time.perf_counter() - began, 1)
    if torch.cuda.is_available():
        batch["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 1)
    return {
        "configuration": configuration | ({"model": _plain(overrides)} if overrides else {}),
        "start": {"model": run.model} if run.model else dict(run.encoders),
        "parameters": parameters,
        "rows": counts,
        "clips_per_step": clips_per_step,
        "batch": batch,
    }


def _configuration(run: RunArguments, args: LavsegTrainingArguments) -> dict[str, Any]:
    own = {item.name: getattr(run, item.name) for item in fields(run) if item.name not in _HIDDEN}
    default = LavsegTrainingArguments(args.output_dir, use_cpu=args.use_cpu).to_dict()
    given = {
        name: value
        for name, value in args.to_dict().items()
        if name not in _HIDDEN and (name in _ALWAYS or value != default.get(name))
    }
    return _plain({name: value for name, value in own.items() if value not in (None, [])} | given)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values as JSON and YAML have them."""
    return json.loads(json.dumps(values, default=str))


def _only_one_batch(run: RunArguments, args: LavsegTrainingArguments) -> None:
    """Leave out all that comes after the first batch, and all that writes."""
    run.feature_cache = None
    args.max_steps, args.gradient_accumulation_steps, args.disable_tqdm = 1, 1, True
    args.save_strategy, args.eval_strategy = SaveStrategy.NO, IntervalStrategy.NO
    args.load_best_model_at_end, args.early_stopping_patience, args.report_to = False, None, []
    args.push_to_hub = args.eval_on_start = False


def _parameters(model: AudioVisualPreTrainedModel) -> dict[str, dict[str, int]]:
    parts = {"all": model, **dict(model.named_children())}
    counted = {name: list(part.parameters()) for name, part in parts.items()}
    return {
        name: {
            "parameters": sum(parameter.numel() for parameter in found),
            "trained": sum(parameter.numel() for parameter in found if parameter.requires_grad),
        }
        for name, found in counted.items()
        if found
    }
