"""Configurations of the image encoders with four maps that methods without SAM stand on."""

from typing import Any

from transformers import PvtV2Config, ResNetConfig, SwinConfig

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


def swin_config(width: int, **overrides: Any) -> SwinConfig:
    """Swin with windows of 7 (Liu et al., "Swin Transformer", ICCV 2021): tiny, base or large, whose drop path trains
    at up to 0.2, or 0.3 from the base on.

    Args:
        width: channels of the first stage, 96, 128 or 192.
        overrides: fields of `SwinConfig` that differ; Swin-S is `swin_config(96, depths=[2, 2, 18, 2])`.
    """
    fields = {
        "embed_dim": width,
        "depths": [2, 2, 6 if width == 96 else 18, 2],
        "num_heads": [width // 32 * 2**stage for stage in range(len(STAGES))],
        "drop_path_rate": 0.2 if width == 96 else 0.3,
        "out_features": list(STAGES),
    }
    return SwinConfig(**{**fields, **overrides})


__all__ = ["pvt_v2_b5_config", "resnet50_config", "swin_config"]
