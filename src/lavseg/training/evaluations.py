"""What evaluations of a training take, looked at before it begins instead of after an epoch."""

from collections.abc import Iterable, Sized
from typing import Any

from ..evaluation.scores import MaskScores
from .arguments import LavsegTrainingArguments


def check_counted(eval_dataset: Any) -> None:
    """Refuse streams: the scores of a data set need to know how many rows it has.

    Args:
        eval_dataset: rows, or a dictionary of splits.
    """
    for rows in eval_dataset.values() if isinstance(eval_dataset, dict) else [eval_dataset]:
        if not isinstance(rows, Sized):
            raise ValueError(
                f"eval_dataset: takes rows that can be counted, got {type(rows).__name__}; load them without streaming"
            )


def check_best_metric(args: LavsegTrainingArguments, eval_dataset: Any, terms: Iterable[str]) -> None:
    """Refuse a `metric_for_best_model` that no evaluation will report.

    Args:
        args: of the training.
        eval_dataset: rows, or a dictionary of splits.
        terms: names of the terms of the model's loss.
    """
    if args.metric_for_best_model is None:
        return
    scores = ["loss", *(f"loss_{term}" for term in terms), *MaskScores.names(args.metric_protocols)]
    splits = [f"{split}_" for split in eval_dataset] if isinstance(eval_dataset, dict) else [""]
    names = [split + score for split in splits for score in scores]
    if args.metric_for_best_model.removeprefix("eval_") not in names:
        raise ValueError(
            f"metric_for_best_model: got {args.metric_for_best_model!r}, evaluation reports {', '.join(names)}"
        )
