"""The processor base that all methods share, and what some add: sentences they may read, classes they may name."""

from .audio_visual import AudioVisualProcessor
from .class_maps import SemanticMixin, likeliest_classes
from .optional_text import OptionalTextMixin

__all__ = ["AudioVisualProcessor", "OptionalTextMixin", "SemanticMixin", "likeliest_classes"]
