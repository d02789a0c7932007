"""What Stepping-Stones gives, and how queries add up to classes."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ...modeling.outputs import AudioVisualSegmentationOutput


def class_scores(class_logits: torch.Tensor, masks: torch.Tensor, size: int) -> torch.Tensor:
    """Scores `[C, size, size]` of the classes in a frame: for each the sum over queries of how likely it is times how
    likely a pixel is inside. They reach `Q`.

    Args:
        class_logits: `[Q, C + 1]`, the last for no object.
        masks: logits `[Q, h, w]`.
    """
    inside = F.interpolate(masks[None], (size, size), mode="bilinear")[0].sigmoid()
    return torch.einsum("qc,qhw->chw", class_logits.softmax(-1)[:, :-1], inside)


@dataclass
class SteppingStonesOutput(AudioVisualSegmentationOutput):
    """As [`AudioVisualSegmentationOutput`], with both classes of the first stage. Its masks are by how much what sounds
    is above background, both of them sums over queries and not logits.

    Args:
        class_scores: float `[B, 2, T, S, S]`, background and what sounds; 0 on padding frames.

    ```python
    background, sounding = model(**inputs).class_scores.unbind(1)
    ```
    """

    logit_maps = ("pred_masks", "class_scores")

    class_scores: torch.Tensor | None = None

    @property
    def curve_masks(self) -> torch.Tensor:
        """Twice what sounds minus background `[B, 1, T, S, S]`, of which the published F is."""
        background, sounding = self.class_scores.unbind(1)
        return (2 * sounding - background)[:, None]


@dataclass
class SteppingStonesSemanticOutput(AudioVisualSegmentationOutput):
    """As [`AudioVisualSegmentationOutput`], with what each query says, of which the processor makes classes. Its masks
    are by how much the best class is above background.

    Args:
        class_queries_logits: float `[B, Q, T, K + 2]`, background first, no object last; 0 on padding frames.
        masks_queries_logits: float `[B, Q, T, S / 4, S / 4]`; 0 on padding frames.

    ```python
    outputs = model(**inputs, prior_masks=masks)
    classes = processor.post_process_semantic_segmentation(outputs, inputs["original_sizes"])
    ```
    """

    logit_maps = ("pred_masks", "class_queries_logits", "masks_queries_logits")

    class_queries_logits: torch.Tensor | None = None
    masks_queries_logits: torch.Tensor | None = None


__all__ = ["SteppingStonesOutput", "SteppingStonesSemanticOutput", "class_scores"]
