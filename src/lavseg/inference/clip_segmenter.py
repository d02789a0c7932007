"""A model and its processor, at work on the frames of one clip."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import BatchFeature

from ..backbones.sam2.mask_tracking import MaskTracker
from ..media import ClipPart
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.processing import AudioVisualProcessor
from .frame_predictions import FramePredictions, split_clips


class FrameInput(NamedTuple):
    """A frame, the sound `[channels, samples]` that the model gets with it, and its number in the clip."""

    part: ClipPart
    waveform: np.ndarray
    number: int = 0


class ClipSegmenter:
    """A model and its processor, with what is the same for all windows of one clip.

    Args:
        model: in evaluation mode, on its device.
        processor: the one saved with the model.
        texts: the expressions; empty for a model that takes none.
        output_attentions: give attention maps.

    Attributes:
        memory: SAM2's memory for masks of the model's; None for a model that stands on no SAM2.
    """

    def __init__(
        self,
        model: AudioVisualPreTrainedModel,
        processor: AudioVisualProcessor,
        texts: Sequence[str],
        output_attentions: bool = False,
    ):
        self.model = model
        self.processor = processor
        self.texts = list(texts)
        self.options = {"output_attentions": True} if output_attentions else {}
        self.memory = None if model.tracking_host is None else MaskTracker(model.tracking_host)

    def segment_clip(
        self, inputs: Sequence[FrameInput], prompts: dict[str, Any] | None = None, **options: Any
    ) -> FramePredictions:
        """Segment the frames as one clip.

        Args:
            inputs: the frames.
            prompts: further arguments of the processor, such as points.
            options: further arguments of the model.
        """
        frames = np.stack([item.part.frame for item in inputs])
        sound = {}
        if self.processor.needs_audio:
            waveform = np.concatenate([item.waveform for item in inputs], axis=1)
            sound = {"audio": waveform, "sampling_rate": inputs[0].part.sampling_rate}
        prepared = self.processor(frames, text=self.texts or None, **sound, **prompts or {})
        return self._predict(prepared, **options)

    def segment_frames(self, inputs: Sequence[FrameInput]) -> FramePredictions:
        """Segment the frames as a clip in which each has a sound of its own; for methods on single frames.

        Raises:
            ValueError: when the method takes sound by the clip.
        """
        frames, sounds = [item.part.frame for item in inputs], [item.waveform for item in inputs]
        rate = inputs[0].part.sampling_rate
        return self._predict(self.processor.frames_with_sounds(frames, sounds, self.texts or None, rate))

    @torch.inference_mode()
    def _predict(self, prepared: BatchFeature, **options: Any) -> FramePredictions:
        outputs = self.model(**prepared.to(self.model.device), **self.options, **options)
        return split_clips(self.processor, outputs, prepared["frame_mask"])[0]
