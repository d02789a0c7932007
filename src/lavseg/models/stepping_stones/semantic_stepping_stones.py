"""The second stage of Stepping-Stones, which names the classes of what a first stage finds."""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import initialization as init
from transformers.utils import logging

from ...backbones.adapted_sam.heard_clips import to_clips
from ...backbones.mask2former.modeling_mask2former import MaskPrior, PixelFeatures, QueryPredictions
from ...modeling.inputs import ClipInputs, check_class_config, check_class_labels, check_shapes
from ...modeling.outputs import NO_MASK_LOGIT
from .configuration_stepping_stones import SteppingStonesConfig
from .modeling_stepping_stones import SteppingStonesModel
from .outputs_stepping_stones import SteppingStonesSemanticOutput, class_scores

logger = logging.get_logger(__name__)

# What a mask from 0 to 1 says of a pixel: up to the first it is silent, from the second on it sounds.
SILENT, SOUNDING = 0.4, 0.6


class SteppingStonesPrior(nn.Module):
    """What the masks of a first stage say, in the three places where the second one hears it."""

    def __init__(self, width: int):
        super().__init__()
        self.silence_embed, self.uncertain_embed, self.audio_embed = (
            nn.Parameter(torch.empty(1, width)) for _ in range(3)
        )

    def forward(self, masks: torch.Tensor, features: PixelFeatures) -> MaskPrior:
        """What masks `[N, h, w]`, from 0 to 1, say about frames with these `features`."""
        coarse, *finer = (F.interpolate(masks[:, None], level.shape[-2:], mode="bilinear") for level in features.levels)
        at_masks = F.interpolate(masks[:, None], features.mask_features.shape[-2:], mode="bilinear")
        keys = tuple(self._of_pixels(level) for level in (coarse, *finer))
        return MaskPrior(at_masks.to(features.mask_features.dtype), keys, coarse.flatten(1) < 0.5)

    def _of_pixels(self, masks: torch.Tensor) -> torch.Tensor:
        """Embeddings `[N, C, h, w]` of the pixels of masks `[N, 1, h, w]`."""
        silence, uncertain, audio = (
            each[..., None, None] for each in (self.silence_embed, self.uncertain_embed, self.audio_embed)
        )
        return torch.where(masks <= SILENT, silence, torch.where(masks >= SOUNDING, audio, uncertain))


class SteppingStonesForSemanticSegmentation(SteppingStonesModel):
    """The second stage of Stepping-Stones, as released for AVSBench's semantic subset. It is given the masks of a first
    stage as `prior_masks` and learns from `class_labels`; in training, what they say sounds is the prior.

    The classes are `config.id2label`, or `config.num_labels` without names; background is the first.

    ```python
    config = SteppingStonesConfig(num_labels=71)
    model, processor = SteppingStonesForSemanticSegmentation(config).eval(), SteppingStonesProcessor.from_config(config)
    inputs = processor("clip.mp4")
    outputs = model(**inputs, prior_masks=torch.zeros(1, inputs["frame_mask"].shape[1], 224, 224))
    classes = processor.post_process_semantic_segmentation(outputs, inputs["original_sizes"])
    ```

    Raises:
        ValueError: for a configuration with less than background and one class.
    """

    names_classes = True
    takes_prior_masks = True

    def _build_prior(self) -> SteppingStonesPrior:
        return SteppingStonesPrior(self.config.mask2former_config.hidden_dim)

    def _check_classes(self, config: SteppingStonesConfig) -> None:
        check_class_config(config)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, SteppingStonesPrior):
            for embedding in module.parameters():
                init.normal_(embedding, std=0.02)

    def trained_parts(self) -> list[nn.Module]:
        # What queries start from stays as published.
        return super().trained_parts()[:-1]

    def _known(
        self, given: ClipInputs, prior_masks: torch.Tensor | None, class_labels: torch.Tensor | None
    ) -> torch.Tensor:
        if given.labels is not None or class_labels is not None:
            check_class_labels(class_labels, self.num_classes + 1)
        clips, _, frames = given.batch
        if prior_masks is None and self.training and class_labels is not None:
            prior_masks = (class_labels > 0).float()
        elif prior_masks is None:
            logger.warning_once(
                "prior_masks: none were given, so nothing is known of what sounds where; the model was made for the "
                "masks of a first stage"
            )
            # Between silent and sounding.
            prior_masks = torch.full((clips, frames, 1, 1), 0.5, device=given.frame_mask.device)
        check_shapes(clips, frames, {"prior_masks": (prior_masks, (clips, frames, "height", "width"))})
        if not prior_masks.is_floating_point():
            raise ValueError(f"prior_masks: have to be floats from 0 to 1, got {prior_masks.dtype}")
        if not torch.compiler.is_compiling():
            foreign = prior_masks[~((prior_masks >= 0) & (prior_masks <= 1))]
            if foreign.numel():
                raise ValueError(f"prior_masks: have to be floats from 0 to 1, got {foreign[0].item()}")
        return prior_masks

    def _output(self, found: QueryPredictions, given: ClipInputs, **losses) -> SteppingStonesSemanticOutput:
        real = given.frame_mask
        with torch.no_grad():
            masks = torch.stack([self._inside(*frame) for frame in zip(*found, strict=True)])
        return SteppingStonesSemanticOutput(
            **losses,
            pred_masks=to_clips(masks, real, NO_MASK_LOGIT)[:, None],
            class_queries_logits=to_clips(found.class_logits, real).transpose(1, 2),
            masks_queries_logits=to_clips(found.masks, real).transpose(1, 2),
        )

    def _inside(self, class_logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """By how much the best class of a frame is above background, `[S, S]`."""
        scores = class_scores(class_logits, masks, self.config.frame_size)
        return scores[1:].amax(0) - scores[0]


__all__ = ["SteppingStonesForSemanticSegmentation"]
