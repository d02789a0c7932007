"""What every model of this package returns."""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


@dataclass
class AudioVisualSegmentationOutput(ModelOutput):
    """Masks of `E` expressions over the `T` frames of `B` clips.

    Args:
        loss: scalar, weighted sum of `losses`; only when labels were given.
        losses: the single terms, detached scalars by name.
        pred_masks: float `[B, E, T, h, w]`, mask logits at stride 4 of the model's input.
        iou_scores: float `[B, E, T]`, the model's own estimate of each mask's IoU.
        object_score_logits: float `[B, E, T]`, above zero where the object is judged visible.
        presence_logits: float `[B, E]`, above zero where the clip is judged to hold the object; with a presence head.
        prompt_embeddings: float `[B, E, C]`, the token that prompted the mask decoder.
        key_frames: long `[B]`, the frame that was prompted.
    """

    loss: torch.Tensor | None = None
    losses: dict[str, torch.Tensor] | None = None
    pred_masks: torch.Tensor | None = None
    iou_scores: torch.Tensor | None = None
    object_score_logits: torch.Tensor | None = None
    presence_logits: torch.Tensor | None = None
    prompt_embeddings: torch.Tensor | None = None
    key_frames: torch.Tensor | None = None
