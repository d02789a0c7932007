"""The `evaluate` interface over metrics that keep statistics instead of masks."""

from abc import ABC, abstractmethod
from typing import Any

import evaluate

from lavseg.metrics.frame_pairs import as_tensor
from lavseg.metrics.protocols import AvsMetric
from lavseg.metrics.semantic import SemanticMetric


class StreamingMetric(evaluate.Metric, ABC):
    """Base of the `evaluate` modules: batches are reduced as they arrive and never reach Arrow or the cache folder.

    `predictions` and `references` are those of the metric's `update`; `compute` returns its values and starts anew.

    Raises:
        ValueError: for `num_process` above 1, since `evaluate` joins processes through files of masks. Sum-reduce
            `statistics.state` over the processes instead.
    """

    def __init__(self, config_name: str | None = None, num_process: int = 1, **kwargs: Any):
        if num_process != 1:
            raise ValueError(
                f"num_process must be 1, got {num_process}: load one metric per process and sum-reduce "
                "metric.statistics.state before compute()."
            )
        super().__init__(config_name=config_name, **kwargs)
        self.statistics = self._empty_statistics()

    @abstractmethod
    def _empty_statistics(self) -> AvsMetric | SemanticMetric:
        """The accumulator behind this module, with nothing in it."""

    def add_batch(self, *, predictions: Any, references: Any) -> None:
        """Reduce one batch, `[N, H, W]` both, to statistics."""
        self.statistics.update(predictions, references)

    def add(self, *, prediction: Any, reference: Any) -> None:
        """Reduce one frame, `[H, W]` both, to statistics; it is a batch of its own."""
        frame = as_tensor("prediction", prediction), as_tensor("reference", reference)
        self.add_batch(predictions=frame[0][None], references=frame[1][None])

    def compute(self, *, predictions: Any = None, references: Any = None) -> dict[str, float]:
        """Add the batch given, if any, return the values over everything added, and forget it."""
        if predictions is not None or references is not None:
            self.add_batch(predictions=predictions, references=references)
        values = self.statistics.compute()
        self.statistics.reset()
        return values
