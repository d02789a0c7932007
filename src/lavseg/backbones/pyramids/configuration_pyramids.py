"""Configurations of the image encoders with four maps that methods without SAM stand on."""

from typing import Any

from transformers import PvtV2Config, ResNetConfig

STAGES = ("stage1", "stage2", "stage3", "stage4")
# Of the coarsest map.
STRIDE = 32


def pvt_v2_b5_config(**overrides: Any) -> PvtV2Config:
    """PVT-v2-B5 (Wang et al., "PVT v2", 2022), 81,443,008 parameters, whose drop path trains at up to 0.1.

    Args:
        overrides: fields of `PvtV2Config` that differ.
    """
    fields = {
        "hidden_sizes": [64, 128, 320, 512],
        "depths": [3, 6, 40, 3],
        "mlp_ratios": [4, 4, 4, 4],
        "num_attention_heads": [1, 2, 5, 8],
        "sr_ratios": [8, 4, 2, 1],
        "drop_path_rate": 0.1,
        "layer_norm_eps": 1e-6,
        "out_features": list(STAGES),
    }
    return PvtV2Config(**{**fields, **overrides})


def resnet50_config(**overrides: Any) -> ResNetConfig:
    """ResNet-50 v1.5, with the stride in the 3x3 convolutions, 23,508,032 parameters.

    Args:
        overrides: fields of `ResNetConfig` that differ.
    """
    return ResNetConfig(**{"out_features": list(STAGES), **overrides})


__all__ = ["pvt_v2_b5_config", "resnet50_config"]
