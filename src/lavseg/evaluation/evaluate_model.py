"""Scores of a model in memory on the rows of a data set."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from datasets import Dataset
from transformers import BatchFeature

from ..data.collator import ClipCollator
from ..metrics.protocols import AvsMetric
from ..metrics.semantic import SemanticMetric
from ..modeling.base import AudioVisualPreTrainedModel
from .clip_batches import SENTENCES, load_clips, rows_together
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
    sentences: int = SENTENCES,
) -> AvsMetric:
    """Run a model over all rows of a data set, in evaluation mode, and score its masks.

    Each clip is read and run once, with all sentences about it; `batch_size` rows are run together where the model's
    `across_clips` lets them attend to one another. Mask logits are brought to the labels' size as the
    model's method does it; frames without a label do not count. All protocols but `frame` depend on which rows are one
    batch, `batch_size` consecutive ones: `PROTOCOLS[name].source` says what `batch_size` and `collator.label_size` the
    published numbers take.

    Args:
        model: where it is, on its device.
        collator: makes model inputs with labels from rows of `dataset`.
        dataset: such as `load_ref_avs` returns.
        protocol: a key of `lavseg.metrics.protocols.PROTOCOLS`.
        batch_size: rows per batch of the protocol, whichever clips they are about.
        transform: changes the inputs of each clip, to see what the model makes of what is left.
        progress: wraps the clips, e.g. `tqdm` or `rich.progress.track`.
        sentences: about one clip that are run together at most, which memory grows with; with more it is run again.

    Returns:
        The metric; `.compute()` gives its values, `.merge(other)` joins those of several parts.

    Raises:
        ValueError: `dataset` is empty, `protocol` is unknown, or the model gives NaN or infinite values.
    """
    scores = MaskScores([protocol], collator.processor, model.scale_masks, len(dataset), batch_size)
    clips = load_clips(dataset, collator, sentences, together=rows_together(model, batch_size))
    run(model, progress(clips) if progress else clips, [scores], transform=transform)
    return scores.metrics()[0]


def evaluate_semantic(
    model: AudioVisualPreTrainedModel,
    collator: ClipCollator,
    dataset: Dataset,
    progress: Callable[[Iterable], Iterable] | None = None,
    workers: int = 0,
) -> SemanticMetric:
    """Run a model over all rows of a data set, in evaluation mode, and score the classes of their labelled frames.

    The published numbers take `label_size=(224, 224)` in the collator.

    Args:
        model: one that names classes, on its device.
        collator: makes model inputs with labels from rows of `dataset`.
        dataset: rows of v1s, v1m or v2 from `load_avsbench`.
        progress: wraps the clips, e.g. `tqdm` or `rich.progress.track`.
        workers: processes that read the data.

    Returns:
        The metric; `.compute()` gives its values.

    Raises:
        ValueError: `dataset` is empty, its masks do not say the class, the model names no classes, or it gives NaN or
            infinite values.
    """
    clips = load_clips(dataset, replace(collator, class_labels=True), workers=workers)
    scores = ClassScores(model, collator.processor)
    run(model, progress(clips) if progress else clips, [scores])
    return scores.metric
