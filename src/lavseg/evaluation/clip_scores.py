"""Scores of whole clips in memory that does not grow with their number."""

from collections.abc import Callable, Sequence

import torch

from ..metrics.labeled_frames import labeled_frames
from ..metrics.protocols import AvsMetric

SCORES = ("jaccard", "f_score", "j_and_f", "s", "s_ratio")


class ClipScores:
    """One [`AvsMetric`] a protocol, fed with a model's output of one batch of clips at a time.

    The frames of one `update` make up one batch of the protocol.

    Args:
        protocols: keys of `lavseg.metrics.protocols.PROTOCOLS`.
        scale_masks: brings logits `[N, h, w]` to the size of the labels, see `AudioVisualPreTrainedModel.scale_masks`.

    Raises:
        ValueError: for an unknown protocol.
    """

    def __init__(self, protocols: Sequence[str], scale_masks: Callable[[torch.Tensor, tuple[int, int]], torch.Tensor]):
        self.scale_masks = scale_masks
        self.metrics = [AvsMetric(protocol) for protocol in protocols]

    @staticmethod
    def names(protocols: Sequence[str]) -> list[str]:
        """Names of the scores: those of [`AvsMetric`], after the protocol's name where there are several."""
        if len(protocols) == 1:
            return list(SCORES)
        return [f"{protocol}_{score}" for protocol in protocols for score in SCORES]

    @torch.no_grad()
    def update(self, pred_masks: torch.Tensor, labels: torch.Tensor, counted: torch.Tensor) -> None:
        """Add one batch of clips; nothing of it is kept but sums.

        Args:
            pred_masks: `[B, E, T, h, w]`, logits of any size.
            labels: `[B, E, T, H, W]` or `[B, T, H, W]`, masks of 0 and 1.
            counted: bool `[B, T]`, the frames that count.
        """
        if labels.dim() == 4:
            labels = labels[:, None]
        if not counted.any():
            return
        logits, targets = labeled_frames(pred_masks, labels, counted, self.scale_masks)
        for metric in self.metrics:
            metric.update(logits, targets)

    def compute(self, reduce: Callable[[torch.Tensor], torch.Tensor] = lambda state: state) -> dict[str, float]:
        """Scores by name over everything seen.

        Args:
            reduce: sums a tensor over all processes that hold a part of the clips.

        Raises:
            ValueError: if no frame was counted.
        """
        values = []
        for metric in self.metrics:
            metric.state = reduce(metric.state)
            scores = metric.compute()
            values += [scores[name] for name in SCORES]
        return dict(zip(self.names([metric.protocol for metric in self.metrics]), values, strict=True))
