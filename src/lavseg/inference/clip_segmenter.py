"""A model and its processor, at work on the frames of one clip."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import BatchFeature

from ..backbones.sam2.mask_tracking import MaskTracker, tracking_host
from ..media import ClipPart
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.processing import AudioVisualProcessor
from .frame_predictions import FramePredictions, split_clips


class FrameInput(NamedTuple):
    """A frame, and the sound `[channels, samples]` that the model gets with it."""

    part: ClipPart
    waveform: np.ndarray


class ClipSegmenter:
    """A model and its processor, with what is the same for all windows of one clip.

    Args:
        model: in evaluation mode, on its device.
        processor: that belongs to the model.
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
        host = tracking_host(model)
        self.memory = None if host is None else MaskTracker(host)

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
        sound = np.concatenate([item.waveform for item in inputs], axis=1)
        rate = inputs[0].part.sampling_rate
        prepared = self.processor(frames, sound, self.texts or None, sampling_rate=rate, **prompts or {})
        return self._predict(prepared, **options)

    def segment_frames(self, inputs: Sequence[FrameInput]) -> FramePredictions:
        """Segment the frames as a clip in which each has a sound of its own; for methods on single frames."""
        frames = [item.part.frame[None] for item in inputs]
        texts = [self.texts] * len(inputs) if self.texts else None
        sounds = [item.waveform for item in inputs]
        prepared = self.processor(frames, sounds, texts, sampling_rate=inputs[0].part.sampling_rate)
        for name, values in prepared.items():
            of_frames = name not in ("input_ids", "attention_mask", "original_sizes")
            prepared[name] = values.transpose(0, 1) if of_frames else values[:1]
        return self._predict(prepared)

    @torch.inference_mode()
    def _predict(self, prepared: BatchFeature, **options: Any) -> FramePredictions:
        outputs = self.model(**prepared.to(self.model.device), **self.options, **options)
        return split_clips(self.processor, outputs, prepared["frame_mask"])[0]
