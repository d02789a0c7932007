import pytest
import torch
from tiny.configurations import tiny_config
from transformers import Mask2FormerConfig, ResNetConfig

from lavseg.backbones.mask2former.configuration_mask2former import STAGES, swin_base_mask2former_config
from lavseg.backbones.mask2former.modeling_mask2former import PromptedMask2Former
from lavseg.models.eemc import EemcConfig
from lavseg.models.stepping_stones import SteppingStonesConfig


def test_sizes_are_the_published_ones():
    with torch.device("meta"):
        model = PromptedMask2Former(swin_base_mask2former_config())
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_modules()}
    assert count["model.pixel_level_module.encoder"] == 86_880_376
    assert count["model.pixel_level_module.decoder"] == 5_544_384
    assert count["model.transformer_module"] == 14_458_624
    assert count["class_predictor"] == 38_807


def test_a_host_on_another_encoder_than_swin_is_refused():
    host = Mask2FormerConfig(backbone_config=ResNetConfig(out_features=[*STAGES]))
    refused = r"^mask2former_config: has to stand on Swin, got 'resnet'$"
    with pytest.raises(ValueError, match=refused):
        PromptedMask2Former(host)
    for config_class in (EemcConfig, SteppingStonesConfig):
        with pytest.raises(ValueError, match=refused):
            tiny_config(config_class, mask2former_config=host)
