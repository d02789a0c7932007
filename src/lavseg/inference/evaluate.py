"""Scores of a model on a data set under a named protocol."""

from collections.abc import Callable, Iterable

import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import BatchFeature

from ..data.collator import ClipCollator
from ..metrics.clips import labeled_frames
from ..metrics.protocols import AvsMetric
from ..models.base import AudioVisualPreTrainedModel


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

    Mask logits are scaled to the labels' size; frames without a label do not count. All protocols but `frame` depend on
    which clips share a batch: `PROTOCOLS[name].source` says what `batch_size` and `collator.label_size` the published
    numbers take.

    Args:
        model: where it is, on its device.
        collator: makes model inputs with labels from rows of `dataset`.
        dataset: such as `load_ref_avs` returns.
        protocol: a key of `lavseg.metrics.protocols.PROTOCOLS`.
        batch_size: clips a batch.
        transform: changes the inputs of each batch, to see what the model makes of what is left.
        progress: wraps the batches, e.g. `tqdm` or `rich.progress.track`.

    Returns:
        The metric; `.compute()` gives its values, `.merge(other)` joins those of several parts.

    Raises:
        ValueError: `dataset` is empty or `protocol` is unknown.
    """
    if not len(dataset):
        raise ValueError("dataset: has no rows, there is nothing to evaluate")
    metric = AvsMetric(protocol)
    batches = DataLoader(dataset, batch_size, collate_fn=collator)
    was_training = model.training
    model.eval()
    for inputs in progress(batches) if progress else batches:
        labels, label_mask = inputs.pop("labels"), inputs.pop("label_mask")
        metric.update(*labeled_frames(_logits(model, transform(inputs) if transform else inputs), labels, label_mask))
    model.train(was_training)
    return metric


@torch.inference_mode()
def _logits(model: AudioVisualPreTrainedModel, inputs: BatchFeature) -> torch.Tensor:
    """Mask logits `[B, E, T, h, w]`, in main memory."""
    return model(**inputs.to(model.device)).pred_masks.cpu()
