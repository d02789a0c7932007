"""Transformers' Trainer for audio-visual segmentation."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import ProgressCallback, Trainer
from transformers.modeling_outputs import ModelOutput
from transformers.trainer_utils import EvalLoopOutput, TrainOutput

from ..data.collator import ClipCollator
from .arguments import LavsegTrainingArguments
from .checkpoints import last_checkpoint
from .evaluation import ClipScores
from .progress import LossProgressCallback


class LavsegTrainer(Trainer):
    """Trains and evaluates the models of this package on batches of [`ClipCollator`].

    Beside what Transformers' Trainer does: `evaluate` scores whole clips under `args.metric_protocols` and keeps sums
    only, never masks; every log of a loss also holds its terms as `loss_<term>`; `train(resume_from_checkpoint=True)`
    passes over checkpoints that were cut off while they were written.

    Scores are named `eval_jaccard`, or `eval_<split>_jaccard` where `eval_dataset` is a dictionary of splits, with the
    protocol's name before the score where there are several. One batch of the evaluation is one batch of the protocol.

    Args:
        model, args, train_dataset, eval_dataset: as in Transformers.
        data_collator: makes batches from rows; those for training with `args.synthetic_null_probability`.
        kwargs: further arguments of Transformers' Trainer, such as `processing_class`, saved with every checkpoint.

    Raises:
        ValueError: when arguments do not fit together.
    """

    args: LavsegTrainingArguments

    def __init__(
        self,
        model: nn.Module,
        args: LavsegTrainingArguments,
        data_collator: ClipCollator,
        **kwargs,
    ):
        if kwargs.get("compute_metrics") is not None:
            raise ValueError("compute_metrics: not taken here; name the metrics in args.metric_protocols")
        self._training_collator = replace(data_collator, null_probability=args.synthetic_null_probability)
        _check_best_metric(args, kwargs.get("eval_dataset"))
        super().__init__(model, args, data_collator, **kwargs)
        self._terms = _Means()
        if self.pop_callback(ProgressCallback) is not None:
            self.add_callback(LossProgressCallback)

    def get_train_dataloader(self) -> DataLoader:
        plain, self.data_collator = self.data_collator, self._training_collator
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = plain

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs) -> TrainOutput:
        """As in Transformers; True resumes from the newest complete checkpoint in `args.output_dir`."""
        if resume_from_checkpoint is True:
            resume_from_checkpoint = last_checkpoint(self.args.output_dir)
            if resume_from_checkpoint is None:
                raise ValueError(f"resume_from_checkpoint: {self.args.output_dir} holds no complete checkpoint")
        self._terms = _Means()
        return super().train(resume_from_checkpoint, **kwargs)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **kwargs
    ) -> torch.Tensor | tuple[torch.Tensor, ModelOutput]:
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        if model.training:
            self._terms.add(outputs.losses, 1 / self.current_gradient_accumulation_steps)
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs.update(self._terms.compute("loss_", self._sum_over_processes))
            self._terms = _Means()
        super().log(logs, start_time)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: Transformers' estimate is for text models and walks over all parameters in every step."""
        return 0

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        self._scores, self._eval_terms = ClipScores(self.args.metric_protocols), _Means()
        output = super().evaluation_loop(dataloader, description, True, ignore_keys, metric_key_prefix)
        terms = self._eval_terms.compute("loss_", self._sum_over_processes)
        scores = self._scores.compute(self._sum_over_processes)
        output.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in (terms | scores).items()})
        return output

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[torch.Tensor, None, None]:
        """Add one batch to the scores; of masks nothing is returned."""
        clips, state = len(inputs["labels"]), self.accelerator.gradient_state
        if state.end_of_dataloader and state.remainder > 0:
            clips = unrepeated(clips, self.args.process_index, state.remainder)
        # A process without a clip of its own runs one all the same, as the others wait for its loss.
        inputs = self._prepare_inputs({name: value[: max(clips, 1)] for name, value in inputs.items()})
        with torch.no_grad(), self.compute_loss_context_manager():
            loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
        counted = inputs["label_mask"] & inputs["frame_mask"]
        self._scores.update(outputs.pred_masks[:clips], inputs["labels"][:clips], counted[:clips])
        self._eval_terms.add(outputs.losses, clips)
        return loss.detach(), None, None

    def _sum_over_processes(self, values: torch.Tensor) -> torch.Tensor:
        return self.accelerator.reduce(values.to(self.args.device), "sum")


def unrepeated(clips: int, process: int, remainder: int) -> int:
    """How many of the `clips` that a process gets in the last round count: that round holds `remainder` clips, dealt
    out to the processes in order, and is filled up with clips from the beginning of the data."""
    return min(max(remainder - process * clips, 0), clips)


class _Means:
    """Weighted means of named scalars, summed on their device, so that adding does not wait for it."""

    def __init__(self):
        self.sums: dict[str, torch.Tensor] = {}
        self.weight = 0.0

    def add(self, values: dict[str, torch.Tensor], weight: float) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0) + weight * value
        self.weight += weight

    def compute(self, prefix: str, reduce: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
        if not self.sums:
            return {}
        sums = torch.stack(list(self.sums.values()))
        *totals, weight = reduce(torch.cat([sums, sums.new_tensor([self.weight])])).tolist()
        return {prefix + name: total / weight for name, total in zip(self.sums, totals, strict=True)}


def _check_best_metric(args: LavsegTrainingArguments, eval_dataset: Any) -> None:
    """Refuse a `metric_for_best_model` that no evaluation will report, before training instead of after an epoch."""
    if args.metric_for_best_model is None or eval_dataset is None:
        return
    splits = [f"{split}_" for split in eval_dataset] if isinstance(eval_dataset, dict) else [""]
    names = [split + name for split in splits for name in ("loss", *ClipScores.names(args.metric_protocols))]
    if args.metric_for_best_model.removeprefix("eval_") not in names:
        raise ValueError(
            f"metric_for_best_model: got {args.metric_for_best_model!r}, evaluation reports {', '.join(names)}"
        )
