"""What is added up while a model runs over a data set: masks, classes, losses."""

import copy
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
    """Sums over the batches of a data set, in memory that does not grow with their number.

    Attributes:
        of_losses: whether `update` reads the loss, for which the model has to be given the labels.
    """

    of_losses = False

    @abstractmethod
    def update(self, outputs: AudioVisualSegmentationOutput, batch: Mapping[str, Any], clips: int) -> None:
        """Add one batch; nothing of it is kept but sums.

        Args:
            outputs: what the model returned.
            batch: what [`ClipCollator`] made, on the same device.
            clips: how many of the batch count, from the first on; the others only fill it up.
        """

    @abstractmethod
    def compute(self, reduce: Reduce = lambda sums: sums) -> dict[str, float]:
        """Values by name over everything added, on all processes.

        Raises:
            ValueError: if no labelled frame was added.
        """


class MaskScores(Scores):
    """J, F and S of the masks under one or more protocols; the frames of one batch are one batch of the protocol.

    Args:
        protocols: keys of `lavseg.metrics.protocols.PROTOCOLS`.
        processor: the model's; masks go through its `gate_masks`.
        scale_masks: brings logits `[N, h, w]` to the size of the labels, see `AudioVisualPreTrainedModel.scale_masks`.

    Raises:
        ValueError: for an unknown protocol.
    """

    def __init__(
        self,
        protocols: Sequence[str],
        processor: AudioVisualProcessor,
        scale_masks: Callable[[torch.Tensor, tuple[int, int]], torch.Tensor],
    ):
        self.processor, self.scale_masks = processor, scale_masks
        self.metrics = [AvsMetric(protocol) for protocol in protocols]

    @staticmethod
    def names(protocols: Sequence[str]) -> list[str]:
        """Names of the scores: those of [`AvsMetric`], after the protocol's name where there are several."""
        if len(protocols) == 1:
            return list(MASK_SCORES)
        return [f"{protocol}_{score}" for protocol in protocols for score in MASK_SCORES]

    def update(self, outputs: AudioVisualSegmentationOutput, batch: Mapping[str, Any], clips: int) -> None:
        counted, labels = _labelled_frames(batch, clips), batch["labels"]
        if not counted.any():
            return
        if labels.dim() == 4:
            labels = labels[:, None]
        counted = counted[:, None].expand(labels.shape[:3])
        logits = self.processor.gate_masks(outputs)[counted].float()
        logits, targets = self.scale_masks(logits, tuple(labels.shape[-2:])), labels[counted]
        for metric in self.metrics:
            metric.update(logits, targets)

    def compute(self, reduce: Reduce = lambda sums: sums) -> dict[str, float]:
        values = []
        for metric in self.metrics:
            scores = _reduced(metric, reduce).compute()
            values += [scores[name] for name in MASK_SCORES]
        return dict(zip(self.names([metric.protocol for metric in self.metrics]), values, strict=True))


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
            raise ValueError(f"model: {type(model).__name__} names no classes, AuralSam2ForSemanticSegmentation does")
        self.processor, self.metric = processor, SemanticMetric(model.num_classes + 1)

    def update(self, outputs: AudioVisualSegmentationOutput, batch: Mapping[str, Any], clips: int) -> None:
        counted, classes = _labelled_frames(batch, clips), batch["class_labels"]
        if not counted.any():
            return
        sizes = [tuple(classes.shape[-2:])] * len(classes)
        found = self.processor.post_process_semantic_segmentation(outputs, sizes)
        self.metric.update(torch.stack(found)[counted], classes[counted])

    def compute(self, reduce: Reduce = lambda sums: sums) -> dict[str, float]:
        return _reduced(self.metric, reduce).compute()


class LossScores(Scores):
    """Means over clips of the loss, as `loss`, and of its terms, as `loss_<term>`."""

    of_losses = True

    def __init__(self):
        self.means = WeightedMeans()

    def update(self, outputs: AudioVisualSegmentationOutput, batch: Mapping[str, Any], clips: int) -> None:
        terms = {f"loss_{name}": value for name, value in outputs.loss_dict.items()}
        self.means.add({"loss": outputs.loss, **terms}, clips)

    def compute(self, reduce: Reduce = lambda sums: sums) -> dict[str, float]:
        return self.means.compute(reduce)


def _labelled_frames(batch: Mapping[str, Any], clips: int) -> torch.Tensor:
    """Frames of the clips that count which carry a label, bool `[B, T]`."""
    counted = batch["label_mask"] & batch["frame_mask"]
    counted[clips:] = False
    return counted


def _reduced(metric: AvsMetric | SemanticMetric, reduce: Reduce) -> AvsMetric | SemanticMetric:
    """A metric of what all processes have added; the one given stays as it is."""
    whole = copy.copy(metric)
    whole.state = reduce(metric.state)
    return whole
