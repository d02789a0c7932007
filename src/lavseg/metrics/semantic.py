"""Metrics of semantic audio-visual segmentation (AVSS): mean IoU and F over classes."""

import torch
from torch import Tensor

from lavseg.metrics.frame_pairs import paired_frames
from lavseg.metrics.functional import f_measure

# The protocol of classes, beside those of masks in `PROTOCOLS`, and what it follows.
AVSS = "avss"
AVSS_SOURCE = "AVSBench-semantic, 2023: classes of frames at 224 x 224"


def class_statistics(predictions: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    """IoU and F of each class summed over frames, and the number of frames each class appears in.

    A class appears in a frame where the prediction or the truth holds it.

    Args:
        predictions, targets: class ids 0..num_classes - 1, integer `[N, H, W]`.

    Returns:
        float64 `[3, num_classes]`: IoU sums, F sums (beta^2 = 0.3), frame counts.
    """
    confusion = torch.stack(
        [
            torch.bincount((truth.long() * num_classes + prediction).flatten(), minlength=num_classes**2)
            for prediction, truth in zip(predictions, targets, strict=True)
        ]
    ).view(-1, num_classes, num_classes)
    hits = confusion.diagonal(dim1=1, dim2=2)
    truth, predicted = confusion.sum(2), confusion.sum(1)
    union = truth + predicted - hits
    iou = hits.double() / union.clamp(min=1)
    return torch.stack([iou.sum(0), f_measure(hits, predicted, truth).sum(0), (union > 0).double().sum(0)])


class SemanticMetric:
    """Mean IoU and F of AVSS as in the official AVSBench-semantic evaluation, independent of batches and their order.

    Per class, IoU and F (beta^2 = 0.3) are averaged over the frames in which the class appears in prediction or truth;
    a class that never appears scores 0; the mean runs over all classes, background (id 0) included. The official code
    also scores the frames that pad short clips, with background as truth: pass them to reproduce its values.

    `state` is a float64 tensor `[3, num_classes]` of plain sums: evaluations that were split may be joined by `merge`,
    or, across processes, by a sum-reduction of `state`.

    ```python
    metric = SemanticMetric(num_classes=71)
    for predictions, targets in batches:  # class ids [N, H, W]
        metric.update(predictions, targets)
    scores = metric.compute()
    ```

    Args:
        num_classes: classes with background, 71 in AVSBench-semantic.

    Raises:
        ValueError: if there are fewer than two classes.
    """

    def __init__(self, num_classes: int = 71):
        if not isinstance(num_classes, int) or num_classes < 2:
            raise ValueError(f"num_classes must count background and at least one class, got {num_classes!r}.")
        self.num_classes = num_classes
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self.state = torch.zeros(3, self.num_classes, dtype=torch.float64)

    @torch.no_grad()
    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Add a batch of class-id maps.

        Args:
            predictions: integer `[N, H, W]`, for logits `[N, C, H, W]` their `argmax(1)`.
            targets: integer `[N, H, W]`.

        Raises:
            ValueError: if the shapes differ or are not `[N, H, W]`, or if either is not integer or leaves
                0..num_classes - 1.
        """
        predictions, targets = paired_frames("predictions", predictions, targets)
        self._check_classes("predictions", predictions)
        self._check_classes("targets", targets)
        self.state = self.state.to(predictions.device) + class_statistics(predictions, targets, self.num_classes)

    def compute(self) -> dict[str, float]:
        """Values over everything seen since the last reset; the state stays as it is.

        Returns:
            `miou` and `f_score` over all classes; `*_no_background` over all but class 0; and
            `*_no_background_official`, which the AVSBench code reports under that name although it leaves out the last
            class in place of background.

        Raises:
            ValueError: if no batch was added.
        """
        iou_sum, f_sum, frames = self.state
        if not frames.any():
            raise ValueError("nothing to compute: call update(predictions, targets) with at least one batch first.")
        scores = {}
        for name, total in (("miou", iou_sum), ("f_score", f_sum)):
            per_class = total / frames.clamp(min=1)
            scores[name] = per_class.mean().item()
            scores[f"{name}_no_background"] = per_class[1:].mean().item()
            scores[f"{name}_no_background_official"] = per_class[:-1].mean().item()
        return scores

    def merge(self, other: "SemanticMetric") -> None:
        """Add everything another metric with as many classes has seen.

        Raises:
            ValueError: if the numbers of classes differ.
        """
        if other.num_classes != self.num_classes:
            raise ValueError(f"other must have {self.num_classes} classes, got {other.num_classes}.")
        self.state = self.state + other.state.to(self.state.device)

    def _check_classes(self, name: str, classes: Tensor) -> None:
        if classes.is_floating_point() or classes.is_complex() or classes.dtype == torch.bool:
            raise ValueError(f"{name} must hold integer class ids, got {classes.dtype}: pass logits.argmax(1).")
        low, high = (value.item() for value in classes.aminmax())
        if low < 0 or high >= self.num_classes:
            foreign = low if low < 0 else high
            raise ValueError(f"{name} must hold classes 0..{self.num_classes - 1}, got {foreign}.")
