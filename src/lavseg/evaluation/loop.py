"""The one loop that runs a model over a data set to score it, on any number of processes."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from transformers import BatchFeature

from ..modeling.outputs import check_outputs
from .scores import Scores

# The ground truth, and which frames have it.
_TARGETS = ("labels", "label_mask", "class_labels")


def run(
    model: nn.Module,
    batches: Iterable[BatchFeature],
    scores: Sequence[Scores],
    accelerator: Accelerator | None = None,
    transform: Callable[[BatchFeature], BatchFeature] | None = None,
) -> None:
    """Run a model, in evaluation mode and without gradients, over the clips of [`load_clips`], and add them to scores.

    Args:
        model: where it is, on its device; it gets the labels only if some of the `scores` are of losses.
        batches: each process its own.
        scores: what is to be added up.
        accelerator: that dealt out the batches to several processes; those that it repeated to fill up the last round
            do not count. None on one process.
        transform: changes the model's inputs of each batch.

    Raises:
        ValueError: when the model gives NaN or infinite values.
    """
    with torch.no_grad(), _evaluation_mode(model):
        for batch in batches:
            # A process without a clip of its own runs one all the same: others may wait for parts of the model.
            rows = batch.pop("rows")
            _add(model, batch, rows if _is_own(accelerator) else [], scores, transform)


def results(scores: Sequence[Scores], accelerator: Accelerator) -> dict[str, float]:
    """Values by name of all scores over all processes.

    Raises:
        ValueError: if one of them is not finite, or no frame with a label was seen.
    """

    def over_processes(sums: torch.Tensor) -> torch.Tensor:
        # The sums of one process stay where they are: not every device has their type.
        return sums if accelerator.num_processes == 1 else accelerator.reduce(sums.to(accelerator.device), "sum")

    values = {name: value for part in scores for name, value in part.compute(over_processes).items()}
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"evaluation: {name} is {value}; the weights or the data are damaged")
    return values


def _is_own(accelerator: Accelerator | None) -> bool:
    """Whether a process got the present batch to count it. Of the last round, which is filled up with batches from the
    beginning of the data, only the first processes did."""
    if accelerator is None:
        return True
    state = accelerator.gradient_state
    last_round = state.end_of_dataloader and state.remainder > 0
    return not last_round or accelerator.process_index < state.remainder


# A function of its own, so that no output of one batch is kept while the next one is computed.
def _add(
    model: nn.Module,
    batch: BatchFeature,
    rows: Sequence[int],
    scores: Sequence[Scores],
    transform: Callable[[BatchFeature], BatchFeature] | None,
) -> None:
    of_losses = any(part.of_losses for part in scores)
    inputs = BatchFeature({name: value for name, value in batch.items() if of_losses or name not in _TARGETS})
    inputs = (transform(inputs) if transform else inputs).to(model.device)
    outputs = model(**inputs)
    check_outputs(outputs.predictions(), inputs["frame_mask"])
    batch = batch.to(model.device)
    clips = len(batch["frame_mask"])
    each = len(rows) // clips
    for clip in range(clips):
        found, given = (outputs, batch) if clips == 1 else (type(outputs)(**_of(outputs, clip)), _of(batch, clip))
        for part in scores:
            part.update(found, given, rows[clip * each : (clip + 1) * each])


def _of(values: Mapping[str, Any], clip: int) -> dict[str, Any]:
    """Of a batch or of outputs what is of one clip, as a batch of one; a loss is of them all."""
    one = slice(clip, clip + 1)
    whole = {name: value for name, value in values.items() if isinstance(value, dict) or getattr(value, "ndim", 1) == 0}
    return whole | {name: value[one] for name, value in values.items() if name not in whole}


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
