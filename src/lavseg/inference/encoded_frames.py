"""What image encoders make of the frames of a clip: each frame goes through them once, however many windows show it."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import BatchFeature

from ..backbones.sam2.mask_tracking import MaskTracker, frame_pixels
from ..backbones.sam2.tracking_sam2 import ImageFeatures
from ..media import ClipPart
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.processing import AudioVisualProcessor
from .encoder_groups import EncoderGroups

_SOUND, _SENTENCES = "audio_embeddings", ("text_embeddings", "attention_mask")


class FrameInput(NamedTuple):
    """A frame, the sound `[channels, samples]` that the model gets with it, and its number in the clip."""

    part: ClipPart
    waveform: np.ndarray
    number: int


class _Encoded(NamedTuple):
    """What a model's `embed_frames` returns for a frame, and what else its processor says of it, `[1, ...]` by name."""

    embedding: torch.Tensor | tuple[torch.Tensor, ...]
    others: dict[str, torch.Tensor]


class EncodedFrames:
    """Frames of a clip, by their numbers, as the image encoders of a model and of its SAM2 see them.

    Args:
        model: in evaluation mode, on its device.
        processor: the one saved with the model.
        memory: SAM2's memory for masks of the model's; None for a model that stands on no SAM2.

    Attributes:
        groups: how many frames are encoded at a time.
    """

    def __init__(
        self, model: AudioVisualPreTrainedModel, processor: AudioVisualProcessor, memory: MaskTracker | None = None
    ):
        self.model = model
        self.processor = processor
        self.memory = memory
        self.groups = EncoderGroups.on(model.device)
        self._encoded: dict[int, _Encoded] = {}
        self._tracked: dict[int, ImageFeatures] = {}

    def keep(self, numbers: Collection[int]) -> None:
        """Forget all frames but these."""
        self._encoded = {number: self._encoded[number] for number in numbers if number in self._encoded}
        self._tracked = {number: self._tracked[number] for number in numbers if number in self._tracked}

    def stand_alone(self, own_sounds: bool) -> bool:
        """Whether what the model's encoders make of a frame is the same in every window; where they hear, that is so if
        every frame has a sound of its own."""
        reads = self.model.embedding_inputs
        return bool(reads) and (own_sounds or _SOUND not in reads)

    def model_inputs(self, inputs: Sequence[FrameInput], prepared: BatchFeature) -> dict[str, Any]:
        """Inputs of the model for frames that stand alone, `image_embeddings` and what else the processor gives; sound
        that their encoder hears becomes embeddings in `prepared`.

        Args:
            inputs: the frames of a clip.
            prepared: the other inputs of the model for them, on its device.
        """
        said = {name: prepared[name][0] for name in _SENTENCES if name in self.model.embedding_inputs}
        hears = _SOUND in self.model.embedding_inputs
        if hears:
            prepared[_SOUND] = self.model.embed_audio(prepared.pop("input_features"))
        new = [place for place, item in enumerate(inputs) if item.number not in self._encoded]
        while new:
            group, new = new[: self.groups.size], new[self.groups.size :]
            heard = {_SOUND: prepared[_SOUND][0, group]} if hears else {}
            self._encode([inputs[place] for place in group], **heard, **said)
        encoded = [self._encoded[item.number] for item in inputs]
        embeddings = [each.embedding for each in encoded]
        if torch.is_tensor(embeddings[0]):
            joined = torch.cat(embeddings)[None]
        else:
            joined = tuple(torch.cat(parts)[None] for parts in zip(*embeddings, strict=True))
        others = {name: torch.cat([each.others[name] for each in encoded])[None] for name in encoded[0].others}
        return {"image_embeddings": joined, **others}

    @torch.inference_mode()
    def _encode(self, items: Sequence[FrameInput], **others: torch.Tensor) -> None:
        frames = [torch.from_numpy(item.part.frame).permute(2, 0, 1) for item in items]
        given = {name: value.to(self.model.device) for name, value in self.processor.image_inputs(frames).items()}
        read = {name: given.pop(name) for name in self.model.embedding_inputs if name in given}
        with self.groups.measured():
            embedded = self.model.embed_frames(**read, **others)
        for place, item in enumerate(items):
            one = slice(place, place + 1)
            embedding = embedded[one] if torch.is_tensor(embedded) else tuple(part[one] for part in embedded)
            self._encoded[item.number] = _Encoded(embedding, {name: value[one] for name, value in given.items()})

    def features(self, number: int, frame: np.ndarray) -> ImageFeatures:
        """What the memory's SAM2 by itself makes of a frame, uint8 `[H, W, 3]`."""
        if number not in self._tracked:
            encoded = self._encoded.get(number)
            maps = encoded and self.model.tracking_embeddings(encoded.embedding)
            if maps is None:
                features = self.memory.encode(frame_pixels(self.processor.image_inputs, frame))
            else:
                features = ImageFeatures(*maps)
            self._tracked[number] = features
        return self._tracked[number]
