"""The processor that the methods on SAM share."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from transformers import BatchFeature, PreTrainedConfig, Sam2ImageProcessor

from ...modeling.processing import AudioVisualProcessor
from ...modeling.square_frames import square_image_processor
from ..vggish import VggishFeatureExtractor


class SamClipProcessor(AudioVisualProcessor):
    """Prepares clips for a method on SAM: frames resized to a square, and one second of sound a frame.

    SAM's stock image processor keeps the aspect ratio and pads; the methods were trained on plain squares. SAM2's is
    that: the same statistics and interpolation, without padding.

    Args:
        image_processor: frames for SAM, `pixel_values`.
        feature_extractor: mono log-mel patches.
        frames_per_second: rate at which video files are read; a patch lasts 0.96 s.
    """

    needs_text = False

    def __init__(
        self,
        image_processor: Sam2ImageProcessor,
        feature_extractor: VggishFeatureExtractor,
        frames_per_second: float = 1.0,
    ):
        super().__init__(image_processor, feature_extractor, frames_per_second=frames_per_second)

    @classmethod
    def from_config(cls, config: PreTrainedConfig) -> "SamClipProcessor":
        """The processor whose sizes fit a model of `config`."""
        size = config.sam_config.vision_config.image_size
        return cls(square_image_processor(size), VggishFeatureExtractor(min_patches=1))

    def image_inputs(self, frames: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"pixel_values": self.image_processor(frames, return_tensors="pt")["pixel_values"]}

    def __call__(self, *args, **kwargs) -> BatchFeature:
        """As [`AudioVisualProcessor`]. `input_features` is `[B, T, 1, 96, 64]`: frame `t` has patch `t`,
        the last patch where the sound is shorter, and patches beyond the last frame are cut off."""
        inputs = super().__call__(*args, **kwargs)
        steps = torch.arange(inputs["frame_mask"].shape[1])
        patch = torch.minimum(steps, inputs["audio_mask"].sum(1, keepdim=True) - 1)
        inputs["input_features"] = inputs["input_features"][torch.arange(len(patch))[:, None], patch]
        inputs["audio_mask"] = inputs["frame_mask"]
        return inputs

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of `pixel_values`."""
        return self.image_processor.size["height"], self.image_processor.size["width"]

    def post_process_masks(
        self,
        pred_masks: torch.Tensor,
        original_sizes: Sequence[tuple[int, int]],
        frame_mask: torch.Tensor | None = None,
        threshold: float = 0.0,
    ) -> list[torch.Tensor]:
        """As [`AudioVisualProcessor.post_process_masks`], by way of SAM's input size as in the releases."""
        if pred_masks.dim() == 5:
            scaled = F.interpolate(pred_masks.flatten(0, 2)[:, None].float(), self.input_size, mode="bilinear")
            pred_masks = scaled[:, 0].unflatten(0, pred_masks.shape[:3])
        return super().post_process_masks(pred_masks, original_sizes, frame_mask, threshold)
