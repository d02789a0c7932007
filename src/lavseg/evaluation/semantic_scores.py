"""Scores of a model with a class head under the protocol of AVSBench-semantic (AVSS)."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from datasets import Dataset
from torch.utils.data import DataLoader

from ..data.collator import ClipCollator
from ..data.workers import shorten_worker_sockets
from ..metrics.semantic import SemanticMetric
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.inputs import check_outputs


@torch.inference_mode()
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
        model: with a class head (`num_classes`), on its device.
        collator: makes model inputs with labels from rows of `dataset`.
        dataset: rows of v1s, v1m or v2 from `load_avsbench`.
        batch_size: clips a batch; the scores do not depend on it.
        progress: wraps the batches, e.g. `tqdm` or `rich.progress.track`.
        workers: processes that read the data.

    Returns:
        The metric; `.compute()` gives its values.

    Raises:
        ValueError: `dataset` is empty, its masks do not say the class, the model has no class head, or it gives NaN or
            infinite values.
    """
    if not len(dataset):
        raise ValueError("dataset: has no rows, there is nothing to evaluate")
    if not getattr(model.config, "num_classes", 0):
        raise ValueError(f"model: this {type(model).__name__} has no class head, see AuralSAM2's num_classes")
    metric = SemanticMetric(model.config.num_classes + 1)
    shorten_worker_sockets()
    batches = DataLoader(dataset, batch_size, num_workers=workers, collate_fn=replace(collator, class_labels=True))
    was_training = model.training
    model.eval()
    for inputs in progress(batches) if progress else batches:
        truth, counted = inputs.pop("class_labels"), inputs.pop("label_mask")
        del inputs["labels"]
        outputs = model(**inputs.to(model.device))
        check_outputs(outputs, inputs["frame_mask"])
        sizes = [truth.shape[-2:]] * len(truth)
        found = collator.processor.post_process_semantic_segmentation(outputs, sizes)
        metric.update(torch.stack(found).cpu()[counted], truth[counted])
    model.train(was_training)
    return metric
