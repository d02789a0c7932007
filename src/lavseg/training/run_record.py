"""What the Trainer knows about how its model came about."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import TrainerState

from ..evaluation.scores import MaskScores
from ..hub.record import Record, Result, hub_ids
from ..modeling.base import AudioVisualPreTrainedModel
from .arguments import LavsegTrainingArguments

_ARGUMENTS = (
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "optim",
    "adam_beta1",
    "adam_beta2",
    "weight_decay",
    "max_grad_norm",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "world_size",
    "num_train_epochs",
    "bf16",
    "fp16",
    "synthetic_null_probability",
    "seed",
)


def record_of(
    model: AudioVisualPreTrainedModel,
    args: LavsegTrainingArguments,
    state: TrainerState,
    train_rows: int | None = None,
    datasets: Sequence[str] = (),
    base_models: Sequence[str] = (),
    license: str | None = None,
) -> Record:
    """The record of a model that is, or was, in a Trainer.

    Args:
        model: its sub-configurations know the published encoders it was put together from, if it was in this process.
        args, state: the Trainer's.
        train_rows: size of the training data.
        datasets, base_models, license: see [`Record`]; base models are looked up in `model` where none are given.
    """
    recipe = {}
    if train_rows is not None and state.global_step:
        recipe = {name: _plain(getattr(args, name)) for name in _ARGUMENTS if hasattr(args, name)}
        recipe["loss_weights"] = dict(model.loss_weights)
        recipe |= {"steps": state.global_step, "training_clips": train_rows}
    return Record(
        list(base_models) or hub_ids([model.name_or_path]) or hub_ids(_encoder_names(model)),
        list(datasets),
        license or Record.license,
        recipe,
        _results(args, state, datasets[0] if datasets else "unnamed data"),
    )


def _encoder_names(model: AudioVisualPreTrainedModel) -> list[str]:
    return [module.config.name_or_path for module in model.backbones().values()]


def _results(args: LavsegTrainingArguments, state: TrainerState, dataset: str) -> list[Result]:
    """The latest scores of the weights that training ended with, of each split."""
    names = MaskScores.names(args.metric_protocols)
    found: dict[tuple[str, str], dict[str, float]] = {}
    for entry in _evaluations(args, state):
        for key, value in entry.items():
            matching = [name for name in names if key.endswith(f"_{name}")]
            if not matching:
                continue
            name = max(matching, key=len)
            split = key.removesuffix(f"_{name}").removeprefix("eval").removeprefix("_")
            protocol = next((p for p in args.metric_protocols if name.startswith(f"{p}_")), args.metric_protocols[0])
            found.setdefault((split, protocol), {})[name.removeprefix(f"{protocol}_")] = value
    return [Result(dataset, split, protocol, scores) for (split, protocol), scores in found.items()]


def final_step(args: LavsegTrainingArguments, state: TrainerState) -> int:
    """The step whose weights a training ends with."""
    return state.best_global_step if args.load_best_model_at_end else state.global_step


def _evaluations(args: LavsegTrainingArguments, state: TrainerState) -> list[Mapping[str, float]]:
    """Log entries that are about the final weights: what was logged at their step, and everything after training."""
    ends = [index for index, entry in enumerate(state.log_history) if "train_runtime" in entry]
    end = ends[-1] if ends else -1
    step = final_step(args, state)
    return [entry for index, entry in enumerate(state.log_history) if index > end or entry.get("step") == step]


def _plain(value: Any) -> Any:
    """Members of enumerations as their values, and what JSON has no number for in words."""
    value = getattr(value, "value", value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
