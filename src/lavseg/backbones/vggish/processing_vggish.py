"""The processor of methods in which each frame has a sound of its own."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor

from ...media import SAME_INSTANT, as_frames
from ...modeling.processing import AudioVisualProcessor
from .feature_extraction_vggish import VggishFeatureExtractor


class SoundPerFrameProcessor(AudioVisualProcessor):
    """Prepares clips for a method that hears one second of sound with each frame.

    Args:
        image_processor: makes `pixel_values` from frames.
        feature_extractor: makes log-mel patches from mono sound.
        fps: frames per second at which video files are read; a patch lasts 0.96 s.
    """

    needs_text = False

    def __init__(
        self,
        image_processor: BaseImageProcessor,
        feature_extractor: VggishFeatureExtractor,
        fps: float = 1.0,
    ):
        super().__init__(image_processor, feature_extractor, fps=fps)

    def _sound_inputs(self, sounds: list[torch.Tensor], frame_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """`input_features` is `[B, T, 1, 96, 64]`: each frame has the patch of its second, at one frame a second patch
        `t`, and the last patch where the sound is shorter; patches beyond the last frame are cut off."""
        inputs = super()._sound_inputs(sounds, frame_mask)
        seconds = torch.arange(frame_mask.shape[1], dtype=torch.float64) / self.fps
        steps = (seconds + SAME_INSTANT).long()
        patch = torch.minimum(steps, inputs["audio_mask"].sum(1, keepdim=True) - 1)
        features = inputs["input_features"][torch.arange(len(patch))[:, None], patch]
        return {"input_features": features, "audio_mask": frame_mask}

    def frames_with_sounds(
        self, frames: Any, sounds: Sequence[Any], text: Sequence[str] | None, sampling_rate: int
    ) -> BatchFeature:
        """As the base class says; of each sound the first patch is heard."""
        frames = as_frames(frames, "frames")
        patches = [self._patches(sound, sampling_rate, f"[{index}]")[:1] for index, sound in enumerate(sounds)]
        data = self._pad_frames([frames])
        data |= {"input_features": torch.cat(patches)[None], "audio_mask": data["frame_mask"]}
        data |= self.text_inputs(None if text is None else [list(text)])
        return BatchFeature({**data, "original_sizes": [tuple(frames.shape[-2:])]})


__all__ = ["SoundPerFrameProcessor"]
