import torch

from lavseg.backbones.mask2former.configuration_mask2former import swin_base_mask2former_config
from lavseg.backbones.mask2former.modeling_mask2former import PromptedMask2Former


def test_sizes_are_the_published_ones():
    with torch.device("meta"):
        model = PromptedMask2Former(swin_base_mask2former_config())
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_modules()}
    assert count["model.pixel_level_module.encoder"] == 86_880_376
    assert count["model.pixel_level_module.decoder"] == 5_544_384
    assert count["model.transformer_module"] == 14_458_624
    assert count["class_predictor"] == 38_807
