"""TPAVI for AVSBench-semantic: every pixel has a class."""

import torch
import torch.nn.functional as F

from ...losses import weighted_mean
from ...modeling.inputs import ClipInputs, check_class_config, check_class_labels
from .configuration_tpavi import TpaviConfig
from .modeling_tpavi import MixedStages, TpaviModel, TpaviOutput, without_padding


class TpaviForSemanticSegmentation(TpaviModel):
    """TPAVI that names the class of every pixel (Zhou et al., "Audio-Visual Segmentation with Semantics", 2023).

    The classes are `config.id2label`, or `config.num_labels` without names; background is the first. The release has no
    bias in the layer that widens the sound: `audio_projection_bias=False`. Its masks, `pred_masks`, are above zero
    where another class than background is the likeliest.

    Terms of the loss: cross-entropy `class`, and the regulariser `avm` of what is not background, both a mean over
    labelled frames.

    ```python
    config = TpaviConfig(num_labels=71, audio_projection_bias=False)
    model, processor = TpaviForSemanticSegmentation(config).eval(), TpaviProcessor.from_config(config)
    inputs = processor("clip.mp4")
    classes = processor.post_process_semantic_segmentation(model(**inputs), inputs["original_sizes"])
    ```

    Raises:
        ValueError: for a configuration of a model that reads, or with less than background and one class.
    """

    default_loss_weights = {"class": 1.0, "avm": 0.5}
    names_classes = True

    def __init__(self, config: TpaviConfig):
        check_class_config(config)
        super().__init__(config)

    def _output(
        self, logits: torch.Tensor, mixed: MixedStages, given: ClipInputs, class_labels: torch.Tensor | None
    ) -> TpaviOutput:
        """As of the model of masks, from logits `[B, 1, T, K + 1, H, W]`."""
        terms = {}
        if class_labels is not None or given.labels is not None:
            check_class_labels(class_labels, self.num_classes + 1)
            terms = self._class_losses(logits.flatten(0, 2), mixed, given, class_labels)
        masks = logits[..., 1:, :, :].amax(-3) - logits[..., 0, :, :]
        return TpaviOutput(
            **self.loss_fields(terms),
            pred_masks=without_padding(masks, given.frame_mask),
            class_logits=logits[:, 0].transpose(1, 2) * given.frame_mask[:, None, :, None, None],
        )

    def _class_losses(
        self, logits: torch.Tensor, mixed: MixedStages, given: ClipInputs, class_labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Weighted terms for logits `[N, K + 1, H, W]`, `N = B * T`, at whose size the classes are compared."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        targets = F.interpolate(class_labels.float(), logits.shape[-2:], mode="nearest").long().flatten(0, 1)
        weights = given.labeled.flatten().to(logits.dtype)
        costs = F.cross_entropy(logits, targets, reduction="none").mean((-2, -1))
        terms = {"class": weighted_mean(costs, weights)}
        if self.loss_weights["avm"] and mixed.sounds:
            shown = (logits.argmax(1) != 0).to(logits.dtype)
            terms["avm"] = weighted_mean(self._mapping(shown, mixed, soft=False), weights)
        return self.weigh(terms)


__all__ = ["TpaviForSemanticSegmentation"]
