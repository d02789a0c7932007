"""What the models of ReferFormer have in common: configuration and initialisation."""

import math

import torch
from torch import nn
from transformers import initialization as init
from transformers.models.deformable_detr.modeling_deformable_detr import (
    DeformableDetrFrozenBatchNorm2d,
    DeformableDetrMultiscaleDeformableAttention,
)

from ...backbones.attention import MultiheadAttention
from ...backbones.pyramids.modeling_pyramids import init_frozen_batch_norm
from ...modeling.base import AudioVisualPreTrainedModel
from ...modeling.initialization import init_attention, init_deformable_attention, init_linear
from .absence_referformer import ReferFormerAbsence, init_absence
from .configuration_referformer import ReferFormerConfig
from .head_referformer import ReferFormerMaskHead
from .pyramid_referformer import ReferFormerPyramid
from .sound_referformer import ReferFormerSound, ReferFormerSoundFusion
from .text_referformer import ReferFormerFusion, ReferFormerProjection
from .transformer_referformer import ReferFormerTransformer


class ReferFormerPreTrainedModel(AudioVisualPreTrainedModel):
    """Configuration and initialisation of ReferFormer.

    ```python
    model = ReferFormerModel.from_backbones("microsoft/resnet-50", "FacebookAI/roberta-base")
    ```
    """

    config: ReferFormerConfig
    config_class = ReferFormerConfig
    base_model_prefix = "referformer"
    input_modalities = ("video", "audio", "text")

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, DeformableDetrFrozenBatchNorm2d):
            init_frozen_batch_norm(module)
        elif isinstance(module, ReferFormerTransformer):
            _init_transformer(module)
        elif isinstance(module, ReferFormerFusion):
            init_attention(module.attention)
            init_linear(module.attention.out_proj)
            init.zeros_(module.attention.out_proj.bias)
        elif isinstance(module, ReferFormerProjection):
            init_linear(module.linear)
        elif isinstance(module, ReferFormerSound):
            init.zeros_(module.query.weight)
            init.zeros_(module.query.bias)
        elif isinstance(module, ReferFormerSoundFusion):
            init_attention(module.attention)
            init.zeros_(module.attention.out_proj.weight)
        elif isinstance(module, ReferFormerAbsence):
            init_absence(module)
        elif isinstance(module, ReferFormerPyramid):
            for part in module.modules():
                if isinstance(part, MultiheadAttention):
                    init_attention(part)
                elif isinstance(part, nn.Linear):
                    init_linear(part)
                elif isinstance(part, nn.Conv2d):
                    init.kaiming_uniform_(part.weight, a=1)
                    if part.bias is not None:
                        init.zeros_(part.bias)
        elif isinstance(module, ReferFormerMaskHead):
            for layer in module.controller.layers:
                init.xavier_uniform_(layer.weight)
                init.zeros_(layer.bias)
        elif isinstance(module, ReferFormerPreTrainedModel):
            for projection in module.input_projections:
                init.xavier_uniform_(projection[0].weight)
                init.zeros_(projection[0].bias)


def _init_transformer(module: ReferFormerTransformer) -> None:
    for name, parameter in module.named_parameters():
        if parameter.dim() > 1:
            init.xavier_uniform_(parameter)
        elif name.endswith("bias"):
            init.zeros_(parameter)
    for attention in module.modules():
        if isinstance(attention, DeformableDetrMultiscaleDeformableAttention):
            init_deformable_attention(attention)
    init.normal_(module.level_embed.weight)
    init.normal_(module.queries.weight)
    for head in module.class_heads:
        init.constant_(head.bias, -math.log(99))
    for index, head in enumerate(module.box_heads):
        init.zeros_(head.layers[-1].weight)
        init.copy_(head.layers[-1].bias, torch.tensor([0.0, 0.0, -2.0, -2.0] if index == 0 else [0.0] * 4))


__all__ = ["ReferFormerPreTrainedModel"]
