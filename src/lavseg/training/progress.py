"""A progress bar that shows the loss."""

from transformers import ProgressCallback, TrainerControl, TrainerState, TrainingArguments


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
