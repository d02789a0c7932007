"""Sizes of Mask2Former."""

from transformers import Mask2FormerConfig, SwinConfig

STAGES = ("stage1", "stage2", "stage3", "stage4")


def check_swin(config: Mask2FormerConfig) -> None:
    """A Mask2Former stands on Swin here.

    Raises:
        ValueError: when it has another image encoder.
    """
    encoder = config.backbone_config
    if not isinstance(encoder, SwinConfig):
        raise ValueError(f"mask2former_config: has to stand on Swin, got {encoder.model_type!r}")


def encoder_width(config: Mask2FormerConfig) -> int:
    """Channels of the image encoder's coarsest map."""
    swin = config.backbone_config
    return swin.embed_dim * 2 ** (len(swin.depths) - 1)


def swin_base_mask2former_config() -> Mask2FormerConfig:
    """Mask2Former with Swin-B as published for the classes of ADE20K, facebook/mask2former-swin-base-ade-semantic: 100
    queries, 150 classes, windows of 12."""
    swin = SwinConfig(
        image_size=384,
        embed_dim=128,
        depths=[2, 2, 18, 2],
        num_heads=[4, 8, 16, 32],
        window_size=12,
        drop_path_rate=0.3,
        out_features=[*STAGES],
    )
    return Mask2FormerConfig(backbone_config=swin, num_labels=150)
