"""`evaluate` module of `SemanticMetric`."""

from typing import Any

import datasets
import evaluate

from lavseg.metrics.semantic import SemanticMetric
from lavseg.metrics.streaming import StreamingMetric


class SemanticEvaluation(StreamingMetric):
    """Mean IoU and F over classes: `evaluate.load("path/to/semantic_metric.py", num_classes=71)`."""

    def __init__(self, *args: Any, num_classes: int = 71, **kwargs: Any):
        self.num_classes = num_classes
        super().__init__(*args, **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Mean IoU and F measure of semantic audio-visual segmentation.",
            citation="",
            inputs_description="predictions and references: class ids [N, H, W], background is 0.",
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Sequence(datasets.Value("int64"))),
                    "references": datasets.Sequence(datasets.Sequence(datasets.Value("int64"))),
                }
            ),
        )

    def _empty_statistics(self) -> SemanticMetric:
        return SemanticMetric(self.num_classes)
