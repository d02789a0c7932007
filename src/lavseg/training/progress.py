"""How a training shows its losses: beside a bar on a terminal, line by line in a file."""

from transformers import PrinterCallback, ProgressCallback, TrainerControl, TrainerState, TrainingArguments


class LossProgressCallback(ProgressCallback):
    """Transformers' progress bar with the last logged losses and learning rate beside the rate, instead of a new line
    for every log."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs,
    ) -> None:
        if self.training_bar is None or not logs or "loss" not in logs:
            return super().on_log(args, state, control, logs=logs, **kwargs)
        shown = {name: value for name, value in logs.items() if name.startswith("loss")}
        self.training_bar.set_postfix({**shown, "lr": logs["learning_rate"]})
        return None


class LossLinesCallback(PrinterCallback):
    """A line of plain words for every log, where there is no bar."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs,
    ) -> None:
        if not state.is_world_process_zero or not logs:
            return
        numbers = {name: value for name, value in logs.items() if isinstance(value, int | float)}
        shown = [f"{name} {value:.4g}" for name, value in numbers.items() if name not in ("epoch", "total_flos")]
        # At once, so that a file can be watched.
        print(f"step {state.global_step} of {state.max_steps}: {', '.join(shown)}", flush=True)
