"""How tiny networks are trained from nothing."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich import get_console
from rich.progress import Progress
from torch import nn

from lavseg.training import LavsegTrainingArguments

# What is called with each new entry of a log.
OnLog = Callable[[dict], None]


def reset_layers(model: nn.Module) -> None:
    """Give layers PyTorch's own initialisation and make embeddings unit-normal.

    From Transformers' deviation of 0.02 so small a network learns nothing from clicks in a thousand steps.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            module.reset_parameters()
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)


def optimize(
    parameters: Iterable[nn.Parameter],
    batch_terms: Callable[[], dict[str, torch.Tensor]],
    peak_rate: float,
    steps: int,
    title: str,
    betas: tuple[float, float] = (0.9, 0.999),
    logging_steps: int = 50,
) -> Iterator[dict]:
    """Train with AdamW at a rate that rises to `peak_rate` over a tenth of `steps` and falls; gradients have norm 1 at
    most.

    Args:
        batch_terms: draws a batch and returns its `loss`, which is minimised, and what else is to be logged.
        title: what the progress bar says.

    Yields:
        After every `logging_steps` steps and after the last one `step` and the means of `batch_terms` since.
    """
    parameters = list(parameters)
    optimizer = torch.optim.AdamW(parameters, lr=peak_rate, weight_decay=0.01, betas=betas)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak_rate, total_steps=steps, pct_start=0.1)
    recent = []
    columns, visible = (*Progress.get_default_columns(), "{task.fields[status]}"), get_console().is_terminal
    with Progress(*columns, transient=True, disable=not visible) as progress:
        bar = progress.add_task(title, total=steps, status="")
        for step in range(1, steps + 1):
            terms = batch_terms()
            recent.append({name: float(value.detach()) for name, value in terms.items()})
            optimizer.zero_grad()
            terms["loss"].backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            if step % logging_steps == 0 or step == steps:
                means = {name: round(float(np.mean([entry[name] for entry in recent])), 4) for name in recent[0]}
                progress.update(bar, status="  ".join(f"{name} {value}" for name, value in means.items()))
                yield {"step": step, **means}
                recent = []
            progress.advance(bar)


def collect_log(entries: Iterable[dict], on_log: OnLog) -> list[dict]:
    """All entries of [`optimize`], each of which `on_log` is called with as it comes."""
    log = []
    for entry in entries:
        log.append(entry)
        on_log(entry)
    return log


def training_arguments(folder: Path, seed: int, **fields: Any) -> LavsegTrainingArguments:
    """What all trainings with the Trainer have in common here, and `fields`; those with `eval_steps` evaluate."""
    return LavsegTrainingArguments(
        output_dir=folder,
        per_device_eval_batch_size=8,
        max_grad_norm=1.0,
        eval_strategy="steps" if "eval_steps" in fields else "no",
        dataloader_num_workers=1,
        dataloader_pin_memory=False,
        report_to="none",
        seed=seed,
        **fields,
    )
