"""`evaluate` module of `AvsMetric`; its config names are the protocols."""

import datasets
import evaluate

from lavseg.metrics.protocols import PROTOCOLS, AvsMetric
from lavseg.metrics.streaming import StreamingMetric


class AvsEvaluation(StreamingMetric):
    """J, F and S of audio-visual segmentation: `evaluate.load("path/to/avs_metric.py", "ref_avs")`."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Region similarity J, F measure and null score S of audio-visual segmentation.",
            citation="",
            inputs_description=(
                "predictions: mask logits [N, H, W] before the sigmoid. references: masks [N, H, W] of 0 and 1. "
                f"Config names: {', '.join(PROTOCOLS)}. One call of add_batch is one batch of the protocol."
            ),
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Sequence(datasets.Value("float32"))),
                    "references": datasets.Sequence(datasets.Sequence(datasets.Value("uint8"))),
                }
            ),
        )

    def _empty_statistics(self) -> AvsMetric:
        return AvsMetric(self.config_name)
