"""Training for some minutes, watched on validation clips."""

import time
from pathlib import Path
from typing import Any

from datasets import Dataset
from rich.progress import Progress
from tiny.optimization import training_arguments
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lavseg import ClipCollator
from lavseg.evaluation.evaluate_model import evaluate
from lavseg.modeling.base import AudioVisualPreTrainedModel
from lavseg.training import LavsegTrainer

from .stages import SEED, Stages


class WatchedTraining:
    """A training in several parts and its `log`, as the Trainer's, with J of the rows `watched` now and then."""

    def __init__(self, model: AudioVisualPreTrainedModel, collator: ClipCollator, watched: Dataset, stages: Stages):
        self.model, self.collator, self.watched, self.stages = model, collator, watched, stages
        self.log: list[dict] = []
        self.measure(0)

    @property
    def steps(self) -> int:
        return self.log[-1]["step"]

    def note(self, step: int, name: str, loss: float, measured: bool) -> None:
        """Log a loss, and J where it is to be measured."""
        self.log.append({"step": step, name: loss})
        if measured:
            self.measure(step, loss)

    def measure(self, step: int, loss: float | None = None) -> None:
        jaccard = evaluate(self.model, self.collator, self.watched).compute()["jaccard"]
        _say(self.stages, step, jaccard, loss)
        self.log.append({"step": step, "eval_jaccard": jaccard})

    def train_for(self, seconds: float, rows: Dataset, output: Path, **fields: Any) -> None:
        """Train with the Trainer for so long and save the model in `output/model`; `fields` are training arguments."""
        arguments = training_arguments(
            output / "training",
            SEED,
            max_steps=100_000,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=20,
            logging_steps=5,
            eval_steps=25,
            eval_on_start=True,
            save_strategy="no",
            disable_tqdm=True,
            **fields,
        )
        before = self.steps
        trainer = LavsegTrainer(
            self.model,
            arguments,
            self.collator,
            train_dataset=rows,
            eval_dataset=self.watched,
            processing_class=self.collator.processor,
            callbacks=[_TimeLimit(seconds, before, self.stages)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        trainer.save_model(output / "model")
        self.model.eval()
        self.log += [{**entry, "step": before + entry["step"]} for entry in trainer.state.log_history]


class _TimeLimit(TrainerCallback):
    """Stops the training after some seconds, with a last evaluation, and shows how it goes."""

    def __init__(self, seconds: float, steps_before: int, stages: Stages):
        self.seconds, self.steps_before, self.stages, self.loss = seconds, steps_before, stages, None
        self.progress = Progress(console=stages.console, transient=True, disable=not stages.console.is_terminal)

    def on_train_begin(self, *args, **kwargs) -> None:
        self.began = time.monotonic()
        self.progress.start()
        self.task = self.progress.add_task("     training", total=max(self.seconds, 1))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs
    ) -> TrainerControl:
        elapsed = time.monotonic() - self.began
        self.progress.update(self.task, completed=elapsed)
        if elapsed >= self.seconds:
            control.should_training_stop = control.should_evaluate = control.should_log = True
        return control

    def on_log(self, args: TrainingArguments, state: TrainerState, *others, logs: dict[str, float], **kwargs) -> None:
        self.loss = logs.get("loss", self.loss)
        if "eval_jaccard" in logs:
            _say(self.stages, self.steps_before + state.global_step, logs["eval_jaccard"], self.loss)

    def on_train_end(self, *args, **kwargs) -> None:
        self.progress.stop()


def _say(stages: Stages, step: int, jaccard: float, loss: float | None) -> None:
    stages.say(f"step {step:4d}  J {jaccard:.3f}" + ("" if loss is None else f"  loss {loss:.3f}"))
