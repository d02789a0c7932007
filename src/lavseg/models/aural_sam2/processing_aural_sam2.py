"""Processor of AuralSAM2."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_utils import PILImageResampling

from ...backbones.sam2.processing_sam2 import square_image_processor
from ...backbones.sam2.prompted_processing import UserPromptsMixin
from ...backbones.vggish import VggishFeatureExtractor
from ...modeling.outputs import AudioVisualSegmentationOutput, check_outputs
from ...modeling.processing import AudioVisualProcessor, OptionalTextMixin
from .configuration_aural_sam2 import AuralSam2Config

# Clips with fewer patches of sound repeat the last one up to this number, as the released front end does.
MIN_PATCHES = 5


class AuralSam2Processor(UserPromptsMixin, OptionalTextMixin, AudioVisualProcessor):
    """Prepares clips for [`AuralSam2Model`]: a square resize of the frames, and left and right of the sound apart; mono
    is doubled.

    ```python
    processor = AuralSam2Processor.from_config(AuralSam2Config(use_text=False))
    inputs = processor("clip.mp4")
    ```
    """

    @classmethod
    def _parts(cls, config: AuralSam2Config) -> tuple[BaseImageProcessor, VggishFeatureExtractor]:
        frames = square_image_processor(config.sam2_config.image_size, PILImageResampling.BICUBIC)
        return frames, VggishFeatureExtractor(num_channels=2, min_patches=MIN_PATCHES)

    def post_process_semantic_segmentation(
        self,
        outputs: AudioVisualSegmentationOutput,
        original_sizes: Sequence[tuple[int, int]],
        frame_mask: torch.Tensor | None = None,
    ) -> list[torch.Tensor]:
        """The most likely class of every pixel inside the masks, background outside, at the clips' sizes.

        Args:
            outputs: what a model gives with a class head.
            original_sizes, frame_mask: as in `post_process_masks`.

        Returns:
            For each clip uint8 `[T, H, W]`, 0 for background.

        Raises:
            ValueError: when the model names no classes, or a logit is not finite.
        """
        class_logits = outputs.class_logits
        if class_logits is None:
            raise ValueError("outputs: hold no class_logits; AuralSam2ForSemanticSegmentation names classes")
        found = []
        masks = self.post_process_masks(outputs, original_sizes, frame_mask)
        for index, (inside, logits) in enumerate(zip(masks, class_logits, strict=True)):
            frames = logits.transpose(0, 1)
            if frame_mask is not None:
                frames = frames[frame_mask[index]]
            # One frame at a time: at full size every class takes as much memory as a mask of the frame.
            classes = [
                F.interpolate(frame[None].float(), inside.shape[-2:], mode="bilinear").argmax(1) for frame in frames
            ]
            found.append((torch.cat(classes) * inside).to(torch.uint8))
        check_outputs({"class_logits": class_logits}, frame_mask)
        return found

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of `pixel_values`."""
        return self.image_processor.size["height"], self.image_processor.size["width"]


__all__ = ["AuralSam2Processor"]
