"""The processor base that all methods share, and the one of methods that may read sentences or not."""

from .audio_visual import AudioVisualProcessor
from .optional_text import OptionalTextMixin

__all__ = ["AudioVisualProcessor", "OptionalTextMixin"]
