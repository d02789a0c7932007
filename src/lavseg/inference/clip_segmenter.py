"""A model and its processor, at work on the frames of one clip."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature

from ..backbones.sam2.mask_tracking import MaskTracker
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.processing import AudioVisualProcessor
from .encoded_frames import EncodedFrames, FrameInput
from .frame_predictions import FramePredictions, split_clips


class ClipSegmenter:
    """A model and its processor, with what is the same for all windows of one clip: sentences are encoded once, and so
    is each frame as long as windows follow each other, where what is made of it does not depend on the window.

    Args:
        model: in evaluation mode, on its device.
        processor: the one saved with the model.
        texts: the expressions; empty for a model that takes none.
        output_attentions: give attention maps.
        output_classes: give what tells the classes of pixels.

    Attributes:
        memory: SAM2's memory for masks of the model's; None for a model that stands on no SAM2.
        frames: the frames of the last window, as encoders see them.
    """

    def __init__(
        self,
        model: AudioVisualPreTrainedModel,
        processor: AudioVisualProcessor,
        texts: Sequence[str],
        output_attentions: bool = False,
        output_classes: bool = False,
    ):
        self.model = model
        self.processor = processor
        self.texts = list(texts)
        self.options = {"output_attentions": True} if output_attentions else {}
        self.output_classes = output_classes
        self.memory = None if model.tracking_host is None else MaskTracker(model.tracking_host)
        self.frames = EncodedFrames(model, processor, self.memory)

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
        given = {"text": self.texts or None, **sound, **(prompts or {})}
        return self._predict(inputs, lambda processor: processor(frames, **given), **options)

    def segment_frames(self, inputs: Sequence[FrameInput], **options: Any) -> FramePredictions:
        """Segment the frames as a clip in which each has a sound of its own; for methods on single frames.

        Args:
            inputs: the frames.
            options: further arguments of the model.

        Raises:
            ValueError: when the method takes sound by the clip.
        """
        frames, sounds = [item.part.frame for item in inputs], [item.waveform for item in inputs]
        rate = inputs[0].part.sampling_rate
        given = (frames, sounds, self.texts or None, rate)
        return self._predict(inputs, lambda processor: processor.frames_with_sounds(*given), own_sounds=True, **options)

    @torch.inference_mode()
    def _predict(
        self,
        inputs: Sequence[FrameInput],
        prepare: Callable[[AudioVisualProcessor], BatchFeature],
        own_sounds: bool = False,
        **options: Any,
    ) -> FramePredictions:
        self.frames.keep({item.number for item in inputs})
        processor, alone = self._reader, self.frames.stand_alone(own_sounds)
        if alone:
            processor = processor.with_image_inputs(lambda frames: {})
        prepared = prepare(processor).to(self.model.device)
        if alone:
            prepared.update(self.frames.model_inputs(inputs, prepared))
        outputs = self.model(**prepared, **self.options, **options)
        return split_clips(self.processor, outputs, prepared["frame_mask"], self.output_classes)[0]

    @cached_property
    def _reader(self) -> AudioVisualProcessor:
        """The processor, which gives what the model makes of the sentences, where the model takes that."""
        if not self.model.embedding_inputs or not self.processor.needs_text:
            return self.processor
        tokens = self.processor.text_inputs([self.texts] if self.texts else None)
        tokens = {name: values.to(self.model.device) for name, values in tokens.items()}
        read = {"text_embeddings": self.model.embed_text(**tokens), "attention_mask": tokens["attention_mask"]}
        return self.processor.with_text_inputs(lambda texts: read)
