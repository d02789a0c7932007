"""AVSegFormer with a map for each class, for AVSBench-semantic."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from ...backbones.adapted_sam.heard_clips import from_clips, to_clips
from ...losses import weighted_mean
from ...modeling.inputs import ClipInputs, check_class_config, check_class_labels
from ...modeling.outputs import NO_MASK_LOGIT, AudioVisualSegmentationOutput
from .configuration_avsegformer import AvsegFormerConfig
from .modeling_avsegformer import AvsegFormerModel, DecodedRows


@dataclass
class AvsegFormerSemanticOutput(AudioVisualSegmentationOutput):
    """As [`AudioVisualSegmentationOutput`], with the classes. Its masks are what is no background: by how much the most
    likely class is above it.

    Args:
        class_logits: float `[B, K + 1, T, H, W]`, background first; 0 on padding frames.

    ```python
    outputs = model(**inputs)
    classes = processor.post_process_semantic_segmentation(outputs, inputs["original_sizes"])
    ```
    """

    logit_maps = ("pred_masks", "class_logits")

    class_logits: torch.Tensor | None = None


class AvsegFormerForSemanticSegmentation(AvsegFormerModel):
    """AVSegFormer with one map for each class, as released for AVSBench's semantic subset. It learns from
    `class_labels`: `class` is the cross-entropy, `mix_dice` compares the features after the mixer with what is no
    background.

    The classes are `config.id2label`, or `config.num_labels` without names; background is the first.

    ```python
    config = AvsegFormerConfig(num_labels=71, frame_size=224)
    model, processor = AvsegFormerForSemanticSegmentation(config).eval(), AvsegFormerProcessor.from_config(config)
    inputs = processor("clip.mp4")
    classes = processor.post_process_semantic_segmentation(model(**inputs), inputs["original_sizes"])
    ```

    Raises:
        ValueError: for a configuration of a model that reads, or with less than background and one class.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {"class": 1.0, "mix_dice": 0.1, "mix_bce": 0.0}
    names_classes = True

    def __init__(self, config: AvsegFormerConfig):
        check_class_config(config)
        super().__init__(config)

    def _output(
        self, rows: DecodedRows, given: ClipInputs, class_labels: torch.Tensor | None
    ) -> AvsegFormerSemanticOutput:
        losses, count = {}, len(rows.logits)
        if class_labels is not None or given.labels is not None:
            check_class_labels(class_labels, self.num_classes + 1)
            truth, weights = (from_clips(each, given.frame_mask, count) for each in (class_labels, given.labeled))
            precise = torch.promote_types(rows.logits.dtype, torch.float32)
            logits = F.interpolate(rows.logits.to(precise), truth.shape[-2:], mode="bilinear")
            cost = F.cross_entropy(logits, truth.long(), reduction="none").mean((-2, -1))
            losses = self.weigh({"class": weighted_mean(cost, weights.to(precise))})
            losses |= self._terms(rows.mixed, truth > 0, weights, "mix_")
        masks = rows.logits[:, 1:].amax(1) - rows.logits[:, 0]
        return AvsegFormerSemanticOutput(
            **self.loss_fields(losses),
            pred_masks=to_clips(masks, rows.real, NO_MASK_LOGIT),
            class_logits=to_clips(rows.logits, given.frame_mask).transpose(1, 2),
        )


__all__ = ["AvsegFormerForSemanticSegmentation", "AvsegFormerSemanticOutput"]
