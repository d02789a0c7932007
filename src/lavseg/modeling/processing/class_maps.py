"""Classes of every pixel from what models for semantic segmentation give."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from ..outputs import AudioVisualSegmentationOutput, check_outputs


class SemanticMixin:
    """Gives an [`AudioVisualProcessor`] the way back from `class_logits [B, K + 1, T, h, w]`."""

    def post_process_semantic_segmentation(
        self,
        outputs: AudioVisualSegmentationOutput,
        original_sizes: Sequence[tuple[int, int]],
        frame_mask: torch.Tensor | None = None,
    ) -> list[torch.Tensor]:
        """The most likely class of every pixel inside the masks, background outside, at the clips' sizes.

        Args:
            outputs: what a model for semantic segmentation gives.
            original_sizes, frame_mask: as in `post_process_masks`.

        Returns:
            For each clip uint8 `[T, H, W]`, 0 for background.

        Raises:
            ValueError: when the model names no classes, or a logit is not finite.
        """
        class_logits = outputs.get("class_logits")
        if class_logits is None:
            raise ValueError("outputs: hold no class_logits; models for semantic segmentation name classes")
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
