"""What happens at the steps, epochs and evaluations of a training."""

from typing import Any

from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl, TrainerState

from ..data.collator import ClipCollator
from .arguments import LavsegTrainingArguments
from .clip_sampler import ClipSampler


class EarlyStopping(EarlyStoppingCallback):
    """Transformers' own, which is not troubled by the evaluation of a split that does not have the metric."""

    def on_evaluate(self, args: LavsegTrainingArguments, *rest: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        if f"eval_{args.metric_for_best_model.removeprefix('eval_')}" in metrics:
            super().on_evaluate(args, *rest, metrics=metrics, **kwargs)


class EpochOf(TrainerCallback):
    """Tells collator and sampler which epoch begins, so that clips are changed and ordered differently in each."""

    def __init__(self, *parts: ClipCollator | ClipSampler):
        self.parts = list(parts)

    def on_epoch_begin(
        self, args: LavsegTrainingArguments, state: TrainerState, control: TrainerControl, **kwargs
    ) -> None:
        for part in self.parts:
            part.epoch = int(state.epoch)
