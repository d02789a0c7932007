"""Scores of a model in memory on the rows of a data set."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import BatchFeature

from ..data.collator import ClipCollator
from ..data.decoding import NamedRows
from ..data.workers import shorten_worker_sockets
from ..metrics.protocols import AvsMetric
from ..metrics.semantic import SemanticMetric
from ..modeling.base import AudioVisualPreTrainedModel
from .loop import run
from .scores import ClassScores, MaskScores


def evaluate(
    model: AudioVisualPreTrainedModel,
    collator: ClipCollator,
    dataset: Dataset,
    protocol: str = "frame",
    batch_size: int = 8,
    transform: Callable[[BatchFeature], BatchFeature] | None = None,
    progress: Callable[[Iterable], Iterable] | None = None,
) -> AvsMetric:
    """Run a model over all rows of a data set, in evaluation mode, and score its masks.

    Mask logits are brought to the labels' size as the model's method does it; frames without a label do not count. All
    protocols but `frame` depend on which clips share a batch: `PROTOCOLS[name].source` says what `batch_size` and
    `collator.label_size` the published numbers take.

    Args:
        model: where it is, on its device.
        collator: makes model inputs with labels from rows of `dataset`.
        dataset: such as `load_ref_avs` returns.
        protocol: a key of `lavseg.metrics.protocols.PROTOCOLS`.
        batch_size: clips per batch.
        transform: changes the inputs of each batch, to see what the model makes of what is left.
        progress: wraps the batches, e.g. `tqdm` or `rich.progress.track`.

    Returns:
        The metric; `.compute()` gives its values, `.merge(other)` joins those of several parts.

    Raises:
        ValueError: `dataset` is empty, `protocol` is unknown, or the model gives NaN or infinite values.
    """
    batches = load_batches(dataset, collator, batch_size)
    scores = MaskScores([protocol], collator.processor, model.scale_masks)
    run(model, progress(batches) if progress else batches, [scores], transform=transform)
    return scores.metrics[0]


def evaluate_semantic(
    model: AudioVisualPreTrainedModel,
    collator: ClipCollator,
    dataset: Dataset,
    batch_size: int = 8,
    progress: Callable[[Iterable], Iterable] | None = None,
    workers: int = 0,
) -> SemanticMetric:
    """Run a model over all rows of a data set, in evaluation mode, and score the classes of their labelled frames.

    The published numbers take `label_size=(224, 224)` in the collator.

    Args:
        model: one that names classes, on its device.
        collator: makes model inputs with labels from rows of `dataset`.
        dataset: rows of v1s, v1m or v2 from `load_avsbench`.
        batch_size: clips per batch; the scores do not depend on it.
        progress: wraps the batches, e.g. `tqdm` or `rich.progress.track`.
        workers: processes that read the data.

    Returns:
        The metric; `.compute()` gives its values.

    Raises:
        ValueError: `dataset` is empty, its masks do not say the class, the model names no classes, or it gives NaN or
            infinite values.
    """
    batches = load_batches(dataset, replace(collator, class_labels=True), batch_size, workers)
    scores = ClassScores(model, collator.processor)
    run(model, progress(batches) if progress else batches, [scores])
    return scores.metric


def load_batches(dataset: Dataset, collator: ClipCollator, batch_size: int, workers: int = 0) -> DataLoader:
    """All rows of a data set in order.

    Raises:
        ValueError: `dataset` is empty.
    """
    if not len(dataset):
        raise ValueError("dataset: has no rows, there is nothing to evaluate")
    shorten_worker_sockets()
    return DataLoader(NamedRows(dataset), batch_size, num_workers=workers, collate_fn=collator)
