"""Classes of every pixel from what models for semantic segmentation give."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from ..outputs import AudioVisualSegmentationOutput, check_outputs


def likeliest_classes(maps: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """The most likely class of every pixel inside a mask, bool `[H, W]`, background outside, uint8 `[H, W]`; from what
    `class_maps` says of a frame."""
    classes = F.interpolate(maps[None].float(), inside.shape, mode="bilinear").argmax(1)[0]
    return (classes * inside).to(torch.uint8)


class SemanticMixin:
    """Gives an [`AudioVisualProcessor`] the way back from `class_logits [B, K + 1, T, h, w]`, or from what else
    `class_maps` says."""

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
        frame_mask = None if frame_mask is None else torch.as_tensor(frame_mask)
        found = []
        masks = self.post_process_masks(outputs, original_sizes, frame_mask)
        for index, inside in enumerate(masks):
            frames = range(len(inside)) if frame_mask is None else frame_mask[index].nonzero()[:, 0].tolist()
            # One frame at a time: at full size every class takes as much memory as a mask of the frame.
            maps = (self.class_maps(outputs, index, frame) for frame in frames)
            found.append(torch.stack([likeliest_classes(*pair) for pair in zip(maps, inside, strict=True)]))
        check_outputs(outputs.predictions(), frame_mask)
        return found

    def class_maps(self, outputs: AudioVisualSegmentationOutput, clip: int, frame: int) -> torch.Tensor:
        """How likely each class is in a frame, `[K + 1, h, w]`, background first, up to a monotonous function.

        Raises:
            ValueError: when the model names no classes.
        """
        class_logits = outputs.get("class_logits")
        if class_logits is None:
            raise ValueError("outputs: hold no class_logits; models for semantic segmentation name classes")
        return class_logits[clip, :, frame]
