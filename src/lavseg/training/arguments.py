"""Arguments of training that Transformers does not have, and defaults that differ."""

import json
import os
import re
import sys
from dataclasses import dataclass, field

import torch
from transformers import IntervalStrategy, TrainingArguments
from transformers.utils import is_in_notebook

from ..evaluation.clip_batches import SENTENCES, check_sentences
from ..metrics.protocols import PROTOCOLS
from .reporting import check_loggers

# Set by `accelerate launch`.
_SPREAD = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP")
# Scores of which less is better: those that end so, and terms of the loss.
_LESS_IS_BETTER = re.compile(r"(^|_)(loss(_\w+)?|s|s_ratio)$")


@dataclass
class LavsegTrainingArguments(TrainingArguments):
    """Transformers' `TrainingArguments` for [`LavsegTrainer`].

    ```python
    args = LavsegTrainingArguments("runs/mine", max_steps=100, metric_protocols=["frame"], loss_weights={"dice": 0.5})
    ```

    Args:
        metric_protocols: protocols that evaluation follows, keys of `lavseg.metrics.protocols.PROTOCOLS`. All but
            `frame` depend on how rows are grouped: `per_device_eval_batch_size` has to be the protocol's.
        sentences_per_clip: sentences about one clip that training takes together at most, so that what does not depend
            on them is computed once. `per_device_train_batch_size` counts sentences, which still are all seen once an
            epoch. 1 draws each by itself, as the papers do. Not with DeepSpeed or FSDP.
        eval_sentences: sentences about one clip that evaluation runs together at most.
        synthetic_null_probability: share of training clips that get a sentence about another clip of the batch and
            empty masks, see [`ClipCollator`]. Takes batches of 2 or more. Not in the papers.
        audio_learning_rate_factor: learning rate of the model's audio encoder, where it trains, in units of
            `learning_rate`. AuralSAM2's code has 0.1.
        loss_weights: weights of some terms of the loss by name, such as `{"dice": 0.5}`, as a mapping or as JSON; the
            others keep the method's, see its model's `default_loss_weights`. The Trainer puts them on the model.
        early_stopping_patience: evaluations without a better `metric_for_best_model` after which training ends; None
            for all steps.
        early_stopping_threshold: by how much that metric has to be better to count.
        greater_is_better: by default False for losses, their terms and S, else True.
        remove_unused_columns: stays False, the collator reads columns that the models do not take.
        disable_tqdm: lines of losses in place of bars; on where stderr is no terminal, as in a log file.
        logging_nan_inf_filter: off, so that logs never show an earlier loss in place of NaN.
        ddp_find_unused_parameters: on, because not all trainable parts get a gradient in every step.

    Raises:
        ValueError: for bf16 without a GPU, an unknown protocol, a factor that is not positive, synthetic nulls in
            batches of one, loss weights that are no mapping, a logger that is not installed, early stopping without
            evaluations or a metric, or a `remove_unused_columns` of True.
    """

    metric_protocols: list[str] = field(
        default_factory=lambda: ["frame"],
        metadata={"help": f"Protocols that evaluation follows, of {', '.join(PROTOCOLS)}."},
    )
    sentences_per_clip: int = field(
        default=1,
        metadata={"help": "Sentences about one clip that training takes together at most, of those of a batch."},
    )
    eval_sentences: int = field(
        default=SENTENCES, metadata={"help": "Sentences about a clip that evaluation runs together at most."}
    )
    synthetic_null_probability: float = field(
        default=0.0,
        metadata={"help": "Share of training clips that get a sentence about another clip and empty masks."},
    )
    audio_learning_rate_factor: float = field(
        default=1.0, metadata={"help": "Learning rate of the audio encoder's weights, in units of --learning_rate."}
    )
    loss_weights: dict | str | None = field(
        default=None,
        metadata={"help": "Weights of terms of the loss by name, as JSON; the others keep the method's."},
    )
    early_stopping_patience: int | None = field(
        default=None,
        metadata={"help": "Evaluations without a better metric_for_best_model after which training ends."},
    )
    early_stopping_threshold: float = field(
        default=0.0, metadata={"help": "By how much that metric has to be better to count."}
    )
    remove_unused_columns: bool = field(
        default=False, metadata={"help": "Stays False: the collator reads columns that the models do not take."}
    )
    ddp_find_unused_parameters: bool | None = field(
        default=True, metadata={"help": "Allow trainable parts without a gradient in distributed training."}
    )
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Show an earlier loss in logs where it is NaN or infinite."}
    )
    logging_steps: float = field(default=10, metadata={"help": "Steps, or share of all steps, between two logs."})

    def __post_init__(self):
        if self.disable_tqdm is None and not sys.stderr.isatty() and not is_in_notebook():
            self.disable_tqdm = True
        if (self.bf16 or self.bf16_full_eval) and not self.use_cpu and not torch.accelerator.is_available():
            raise ValueError("bf16: is for GPUs, and there is none here; on a CPU give --bf16 false")
        if self.greater_is_better is None and _LESS_IS_BETTER.search(self.metric_for_best_model or ""):
            self.greater_is_better = False
        super().__post_init__()
        # There is no such memory without an accelerator, and PyTorch warns.
        self.dataloader_pin_memory = self.dataloader_pin_memory and torch.accelerator.is_available()
        check_loggers(self.report_to)
        check_sentences("eval_sentences", self.eval_sentences)
        self._check_sentences_per_clip()
        self._check_nulls()
        self._check_early_stopping()
        unknown = [name for name in self.metric_protocols if name not in PROTOCOLS]
        if unknown or not self.metric_protocols:
            raise ValueError(
                f"metric_protocols: got {self.metric_protocols}, accepted are one or more of {', '.join(PROTOCOLS)}"
            )
        if self.audio_learning_rate_factor <= 0:
            raise ValueError(
                f"audio_learning_rate_factor: got {self.audio_learning_rate_factor}, has to be above 0; whether the "
                "encoder trains at all is a matter of the model's configuration"
            )
        if isinstance(self.loss_weights, str):
            try:
                self.loss_weights = json.loads(self.loss_weights)
            except ValueError as error:
                raise ValueError(f"loss_weights: {self.loss_weights!r} is not readable as JSON: {error}") from error
        if not isinstance(self.loss_weights, dict | None):
            raise ValueError(f"loss_weights: takes weights by name, such as {{'dice': 0.5}}, got {self.loss_weights!r}")
        if self.remove_unused_columns:
            raise ValueError("remove_unused_columns: has to be False, or no column would reach the collator")
        if self.dataloader_persistent_workers:
            raise ValueError(
                "dataloader_persistent_workers: has to be False, or workers would draw as in the first epoch for ever"
            )

    def _check_sentences_per_clip(self) -> None:
        check_sentences("sentences_per_clip", self.sentences_per_clip)
        if self.sentences_per_clip > self.per_device_train_batch_size:
            raise ValueError(
                f"sentences_per_clip: {self.sentences_per_clip} do not fit into batches of "
                f"{self.per_device_train_batch_size} sentences, set per_device_train_batch_size to as many or more"
            )
        if self.sentences_per_clip > 1 and (self.deepspeed or self.fsdp or _launched_to_spread()):
            raise ValueError(
                "sentences_per_clip: has to be 1 with DeepSpeed and FSDP, whose processes take one pass a batch each"
            )

    def _check_nulls(self) -> None:
        if self.synthetic_null_probability and self.train_batch_size < 2:
            raise ValueError(
                f"synthetic_null_probability: got {self.synthetic_null_probability}, takes sentences about other clips "
                "of a batch; set per_device_train_batch_size to 2 or more"
            )

    def _check_early_stopping(self) -> None:
        if self.early_stopping_patience is None:
            return
        if self.early_stopping_patience < 1:
            raise ValueError(f"early_stopping_patience: has to be 1 or more, got {self.early_stopping_patience}")
        if self.eval_strategy == IntervalStrategy.NO or self.metric_for_best_model is None:
            raise ValueError(
                "early_stopping_patience: needs evaluations and what to compare, set eval_strategy and "
                "metric_for_best_model"
            )


def _launched_to_spread() -> bool:
    return any(os.environ.get(name, "").lower() == "true" for name in _SPREAD)
