"""What every model of this package returns."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import torch
from transformers.utils import ModelOutput

# Logit of masks on padding frames, and of those that a method empties.
NO_MASK_LOGIT = -1024.0


@dataclass
class AudioVisualSegmentationOutput(ModelOutput):
    """Masks of `E` expressions over the `T` frames of `B` clips.

    ```python
    outputs = model(**inputs)
    masks = processor.post_process_masks(outputs, inputs["original_sizes"])
    ```

    Args:
        loss: scalar, weighted sum of `loss_dict`; only when labels were given.
        loss_dict: the single terms, detached scalars by name.
        pred_masks: float `[B, E, T, h, w]`, mask logits at the method's own stride (4 on SAM and SAM2). What the model
            judges absent is not emptied here, see `AudioVisualProcessor.gate_masks`; padding frames hold -1024.
        iou_scores: float `[B, E, T]`, the model's own estimate of each mask's IoU; None where it makes none.
        object_score_logits: float `[B, E, T]`, above zero where the object is judged visible; None where it makes none.
        presence_logits: float `[B, E]`, above zero where the clip is judged to hold the object; with a presence head.
        prompt_embeddings: float `[B, E, C]`, the token that prompted the mask decoder; None where there is none.
        key_frames: long `[B, E]`, the frame that was segmented first, without memory; None for methods without memory.

    Attributes:
        logit_maps: names of the outputs with logits for each pixel, `[B, ..., T, h, w]`.
        frame_scores: names of the outputs `[B, E, T]` that say something about each mask.
        clip_scores: names of the outputs `[B, E]` that say something about an object in the clip, and how results name
            them for one object.
        attention_maps: names of the outputs that `output_attentions` asks for, tuples of `[B, T, heads, e, e]`.
    """

    logit_maps: ClassVar[tuple[str, ...]] = ("pred_masks",)
    frame_scores: ClassVar[tuple[str, ...]] = ("object_score_logits", "iou_scores")
    clip_scores: ClassVar[dict[str, str]] = {"presence_logits": "presence_logit"}
    attention_maps: ClassVar[tuple[str, ...]] = ()

    loss: torch.Tensor | None = None
    loss_dict: dict[str, torch.Tensor] | None = None
    pred_masks: torch.Tensor | None = None
    iou_scores: torch.Tensor | None = None
    object_score_logits: torch.Tensor | None = None
    presence_logits: torch.Tensor | None = None
    prompt_embeddings: torch.Tensor | None = None
    key_frames: torch.Tensor | None = None

    def predictions(self) -> dict[str, torch.Tensor]:
        """Maps and scores by name, as far as the model gives them."""
        names = (*self.logit_maps, *self.frame_scores, *self.clip_scores)
        return {name: self[name] for name in names if self.get(name) is not None}

    @property
    def losses(self) -> dict[str, torch.Tensor] | None:
        """The former name of `loss_dict`."""
        warnings.warn("losses: is called loss_dict now", DeprecationWarning, stacklevel=2)
        return self.loss_dict
