"""Training of so many steps, watched on validation clips, and how long it takes."""

import time
from collections.abc import Callable
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

# J of the watched clips is measured about so often.
MEASUREMENTS = 10


class WatchedTraining:
    """A training of so many steps, in several parts, and its `log`, as the Trainer's, with J of the rows `watched` now
    and then; all measurements will take about `measuring_seconds`.
    """

    def __init__(
        self,
        model: AudioVisualPreTrainedModel,
        collator: ClipCollator,
        watched: Dataset,
        steps: int,
        stages: Stages,
    ):
        self.model, self.collator, self.watched, self.stages = model, collator, watched, stages
        self.every, self.log = max(1, steps // MEASUREMENTS), []
        began = time.monotonic()
        self.measure(0)
        self.measuring_seconds = MEASUREMENTS * (time.monotonic() - began)

    @property
    def steps(self) -> int:
        return self.log[-1]["step"]

    def note(self, step: int, **values: float) -> None:
        """Log the values of a step, and J where it is time to measure it."""
        due = step // self.every > self.steps // self.every
        self.log.append({"step": step, **values})
        self.stages.murmur(_line(step, values))
        if due:
            self.measure(step)

    def measure(self, step: int) -> None:
        jaccard = evaluate(self.model, self.collator, self.watched).compute()["jaccard"]
        self.log.append({"step": step, "eval_jaccard": jaccard})
        self.stages.say(_line(step, {"J": jaccard}))

    def train(self, steps: int, rows: Dataset, output: Path, **fields: Any) -> None:
        """Train with the Trainer and save the model in `output/model`; `fields` are training arguments."""
        arguments = training_arguments(
            output / "training",
            SEED,
            max_steps=steps,
            lr_scheduler_type="cosine",
            warmup_steps=min(20, steps // 5),
            logging_steps=2,
            logging_first_step=True,
            eval_steps=max(1, min(self.every, steps // 2)),
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
            callbacks=[_Narrator(before, self.stages)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        trainer.save_model(output / "model")
        self.model.eval()
        self.log += [{**entry, "step": before + entry["step"]} for entry in trainer.state.log_history]


class _Narrator(TrainerCallback):
    """Shows how a training goes, and has it evaluated at its end."""

    def __init__(self, steps_before: int, stages: Stages):
        self.steps_before, self.stages = steps_before, stages
        self.progress = Progress(console=stages.console, transient=True, disable=not stages.console.is_terminal)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *others, **kwargs) -> None:
        self.progress.start()
        self.task = self.progress.add_task("     training", total=state.max_steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs
    ) -> TrainerControl:
        self.progress.update(self.task, completed=state.global_step)
        control.should_evaluate |= state.global_step == state.max_steps
        return control

    def on_log(self, args: TrainingArguments, state: TrainerState, *others, logs: dict[str, float], **kwargs) -> None:
        step = self.steps_before + state.global_step
        if "eval_jaccard" in logs:
            self.stages.say(_line(step, {"J": logs["eval_jaccard"]}))
        elif "loss" in logs:
            self.stages.murmur(_line(step, {"loss": logs["loss"]}))

    def on_train_end(self, *args, **kwargs) -> None:
        self.progress.stop()


def seconds_of(work: Callable[[], Any], repeats: int = 2) -> float:
    """How long it takes, once it is warm."""
    work()
    began = time.monotonic()
    for _ in range(repeats):
        work()
    return (time.monotonic() - began) / repeats


def about(seconds: float) -> str:
    """A duration in words."""
    return f"about {max(1, round(seconds / 60))} min" if seconds >= 45 else "less than a minute"


def _line(step: int, values: dict[str, float]) -> str:
    return f"step {step:4d}  " + "  ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in values.items())
