"""What is added up while a model runs over a data set: masks, classes, losses."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ..metrics.protocols import AvsMetric
from ..metrics.semantic import SemanticMetric
from ..metrics.weighted_means import WeightedMeans
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.outputs import AudioVisualSegmentationOutput
from ..modeling.processing import AudioVisualProcessor

MASK_SCORES = ("jaccard", "f_score", "j_and_f", "s", "s_ratio")

# Sums a tensor over all processes.
Reduce = Callable[[torch.Tensor], torch.Tensor]


class Scores(ABC):
    """Sums over the clips of a data set, of which nothing else is kept.

    Attributes:
        of_losses: whether `update` reads the loss, for which the model has to be given the labels.
    """

    of_losses = False

    @abstractmethod
    def update(self, outputs: AudioVisualSegmentationOutput, batch: Mapping[str, Any], rows: Sequence[int]) -> None:
        """Add one clip.

        Args:
            outputs: what the model returned: a mask for each of the clip's `E` truths, or one for all where it reads
                no sentences.
            batch: what [`ClipCollator`] made of the clip, on the same device.
            rows: numbers of the `E` rows of the data set that the truths are of; none when it is not to be counted.
        """

    @abstractmethod
    def compute(self, reduce: Reduce = lambda sums: sums) -> dict[str, float]:
        """Values by name over everything added, on all processes.

        Raises:
            ValueError: if no labelled frame was added.
        """


class MaskScores(Scores):
    """J, F and S of the masks under one or more protocols; so many rows of the data set, one after the other, are one
    batch of the protocol. Of each batch about 2 KB are kept.

    Args:
        protocols: keys of `lavseg.metrics.protocols.PROTOCOLS`.
        processor: the model's; masks go through its `gate_masks`.
        scale_masks: brings logits `[N, h, w]` to the size of the labels, see `AudioVisualPreTrainedModel.scale_masks`.
        num_rows: rows of the data set.
        batch_size: rows that are one batch.

    Raises:
        ValueError: for an unknown protocol, or without a row in a batch.
    """

    def __init__(
        self,
        protocols: Sequence[str],
        processor: AudioVisualProcessor,
        scale_masks: Callable[[torch.Tensor, tuple[int, int]], torch.Tensor],
        num_rows: int,
        batch_size: int,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size: has to be a number above 0, got {batch_size}")
        self.processor, self.scale_masks, self.batch_size = processor, scale_masks, batch_size
        self._metrics = [AvsMetric(protocol) for protocol in protocols]
        batches = math.ceil(num_rows / batch_size)
        self._sums = [torch.zeros(batches, metric.num_sums, dtype=torch.float64) for metric in self._metrics]

    @staticmethod
    def names(protocols: Sequence[str]) -> list[str]:
        """Names of the scores: those of [`AvsMetric`], after the protocol's name where there are several."""
        if len(protocols) == 1:
            return list(MASK_SCORES)
        return [f"{protocol}_{score}" for protocol in protocols for score in MASK_SCORES]

    def update(self, outputs: AudioVisualSegmentationOutput, batch: Mapping[str, Any], rows: Sequence[int]) -> None:
        [counted], [labels] = _labelled_frames(batch), batch["labels"]
        if not rows or not counted.any():
            return
        masks = self.processor.gate_masks(outputs)[0, :, counted].float()
        curves = None if outputs.curve_masks is None else outputs.curve_masks[0, :, counted].float()
        # Row by row, so that memory does not grow with the sentences.
        for index, (row, truth) in enumerate(zip(rows, labels[:, counted], strict=True)):
            if index < len(masks):
                logits, curve = (
                    None if maps is None else self.scale_masks(maps[index], tuple(labels.shape[-2:]))
                    for maps in (masks, curves)
                )
            for number, metric in enumerate(self._metrics):
                sums = metric.frame_sums(logits, truth, curve)
                self._sums[number] = self._sums[number].to(sums.device)
                self._sums[number][row // self.batch_size] += sums

    def metrics(self, reduce: Reduce = lambda sums: sums) -> list[AvsMetric]:
        """The metric of each protocol, over what all processes have added."""
        for metric, sums in zip(self._metrics, self._sums, strict=True):
            metric.reset()
            metric.add(reduce(sums))
        return self._metrics

    def compute(self, reduce: Reduce = lambda sums: sums) -> dict[str, float]:
        values = []
        for metric in self.metrics(reduce):
            scores = metric.compute()
            values += [scores[name] for name in MASK_SCORES]
        return dict(zip(self.names([metric.protocol for metric in self._metrics]), values, strict=True))


class ClassScores(Scores):
    """Scores of the classes of pixels, see [`SemanticMetric`]; they do not depend on batches.

    Args:
        model: one that names classes.
        processor: the model's.

    Raises:
        ValueError: if the model names no classes.
    """

    def __init__(self, model: AudioVisualPreTrainedModel, processor: AudioVisualProcessor):
        if not model.names_classes:
            raise ValueError(f"model: {type(model).__name__} names no classes; take a ...ForSemanticSegmentation")
        self.processor, self.metric = processor, SemanticMetric(model.num_classes + 1)

    def update(self, outputs: AudioVisualSegmentationOutput, batch: Mapping[str, Any], rows: Sequence[int]) -> None:
        counted, classes = _labelled_frames(batch), batch["class_labels"]
        if not rows or not counted.any():
            return
        sizes = [tuple(classes.shape[-2:])] * len(classes)
        found = self.processor.post_process_semantic_segmentation(outputs, sizes)
        for _ in rows:
            self.metric.update(torch.stack(found)[counted], classes[counted])

    def compute(self, reduce: Reduce = lambda sums: sums) -> dict[str, float]:
        whole = copy.copy(self.metric)
        whole.state = reduce(self.metric.state)
        return whole.compute()


class LossScores(Scores):
    """Means over rows of the loss, as `loss`, and of its terms, as `loss_<term>`."""

    of_losses = True

    def __init__(self):
        self.means = WeightedMeans()

    def update(self, outputs: AudioVisualSegmentationOutput, batch: Mapping[str, Any], rows: Sequence[int]) -> None:
        terms = {f"loss_{name}": value for name, value in outputs.loss_dict.items()}
        self.means.add({"loss": outputs.loss, **terms}, len(rows))

    def compute(self, reduce: Reduce = lambda sums: sums) -> dict[str, float]:
        return self.means.compute(reduce)


def _labelled_frames(batch: Mapping[str, Any]) -> torch.Tensor:
    """Frames of a clip which carry a label, bool `[1, T]`."""
    return batch["label_mask"] & batch["frame_mask"]
