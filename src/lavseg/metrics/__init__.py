"""Metrics of audio-visual segmentation, each under the name of the publication whose evaluation it reproduces."""

from lavseg.metrics.protocols import PROTOCOLS, AvsMetric
from lavseg.metrics.semantic import SemanticMetric

__all__ = ["PROTOCOLS", "AvsMetric", "SemanticMetric"]
