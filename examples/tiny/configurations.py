"""Configurations that run a clip in well under a second on one CPU core, for tests and demonstrations."""

from collections.abc import Callable
from typing import Any

from transformers import Mask2FormerConfig, PreTrainedConfig, Sam2VideoConfig, SamConfig, SwinConfig

from lavseg import (
    AuralSam2Config,
    AvsegFormerConfig,
    EemcConfig,
    GavsConfig,
    ReferFormerConfig,
    Sam2LoveConfig,
    SamaAvsConfig,
    SimTokenConfig,
    StBavaConfig,
    SteppingStonesConfig,
    TpaviConfig,
    VggishConfig,
)
from lavseg.backbones.sam2.configuration_sam2 import size_fields

# What the configuration of a tiny model that was trained here says about it.
NOTICE = "a toy that knows only drawn objects; for real clips see `lavseg models`"


def tiny_config(config_class: type[PreTrainedConfig], vocab_size: int = 400, **overrides: Any) -> PreTrainedConfig:
    """A configuration of a method at 128x128, 75 thousand (VGGish) to 4 million (AuralSAM2) parameters.

    Args:
        config_class: the method's.
        vocab_size: words of the text encoder, where there is one.
        overrides: fields that differ.
    """
    fields = _FIELDS[config_class](vocab_size, overrides)
    return config_class(**{**fields, **overrides})


def _vggish(vocab_size: int, overrides: dict) -> dict:
    return {"conv_channels": (8, 16, 16, 16, 32, 32), "hidden_size": 64, "embedding_size": 32}


def _sam2_love(vocab_size: int, overrides: dict) -> dict:
    return {
        "sam2_config": nano_sam2_config(128),
        "text_config": tiny_text_config(vocab_size),
        "vision_config": {
            "model_type": "vit",
            "image_size": 96,
            "patch_size": 12,
            "hidden_size": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "intermediate_size": 192,
        },
        "audio_config": tiny_config(VggishConfig),
        "hidden_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 192,
        "projection_size": 96,
    }


def _aural_sam2(vocab_size: int, overrides: dict) -> dict:
    return {
        "sam2_config": nano_sam2_config(128),
        "text_config": tiny_text_config(vocab_size),
        "audio_config": tiny_config(VggishConfig, embedding_size=64),
        "visual_depths": (1, 1, 2),
        "token_depths": (1, 1, 1),
        "mlp_ratio": 2,
        "fusion_size": 64,
        "text_projection_size": 96,
        "projection_size": 32,
        "class_layers": 1,
    }


def _avsegformer(vocab_size: int, overrides: dict) -> dict:
    fields = {
        "vision_config": tiny_pyramid_config("pvt_v2"),
        "audio_config": tiny_config(VggishConfig),
        "frame_size": 128,
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_queries": 20,
        "num_encoder_layers": 2,
        "num_decoder_layers": 2,
        "num_generator_layers": 2,
        "intermediate_size": 128,
        "generator_intermediate_size": 128,
        "mask_hidden_size": 64,
    }
    return {**fields, "text_config": tiny_text_config(vocab_size)} if overrides.get("use_text") else fields


def _eemc(vocab_size: int, overrides: dict) -> dict:
    return {
        "mask2former_config": nano_mask2former_config(),
        "text_config": tiny_text_config(vocab_size),
        "audio_config": tiny_config(VggishConfig, final_relu=False),
        "frame_size": 128,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "adapter_size": 16,
    }


def _simtoken(vocab_size: int, overrides: dict) -> dict:
    return {
        "language_config": {
            "model_type": "llama",
            "vocab_size": vocab_size + 1,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 1024,
            "initializer_range": 0.1,
        },
        "vision_config": {
            "model_type": "clip_vision_model",
            "image_size": 56,
            "patch_size": 14,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
        },
        "sam_config": nano_sam_config(128),
        "audio_config": tiny_config(VggishConfig, final_relu=False),
        "merge_levels": ((8, 3), (4, 3)),
    }


def _referformer(vocab_size: int, overrides: dict) -> dict:
    sound = {"audio_config": tiny_config(VggishConfig)} if overrides.get("use_audio") else {}
    return {
        **sound,
        "vision_config": tiny_pyramid_config("resnet"),
        "text_config": tiny_text_config(vocab_size),
        "frame_size": 64,
        "hidden_size": 32,
        "num_attention_heads": 2,
        "num_queries": 3,
        "num_encoder_layers": 1,
        "num_decoder_layers": 2,
        "intermediate_size": 64,
        "mask_hidden_size": 4,
    }


def _st_bava(vocab_size: int, overrides: dict) -> dict:
    return {
        "sam_config": nano_sam_config(128),
        "audio_config": tiny_config(VggishConfig),
        "num_fusion_layers": 2,
        "num_attention_heads": 4,
        "adapter_size": 32,
    }


def _stepping_stones(vocab_size: int, overrides: dict) -> dict:
    return {
        "mask2former_config": nano_mask2former_config(),
        "audio_config": tiny_config(VggishConfig, final_relu=False),
        "frame_size": 128,
        "num_queries": 8,
        "projection_size": 64,
    }


def _tpavi(vocab_size: int, overrides: dict) -> dict:
    fields = {
        "vision_config": tiny_pyramid_config("pvt_v2"),
        "audio_config": tiny_config(VggishConfig),
        "frame_size": 128,
        "hidden_size": 32,
        "fusion_size": 16,
        "num_attention_heads": 2,
    }
    if overrides.get("use_text"):
        fields["text_config"] = tiny_text_config(vocab_size)
    return fields


def _sama_avs(vocab_size: int, overrides: dict) -> dict:
    return {**_adapted(vocab_size, overrides), "adapter_size": 32}


def _gavs(vocab_size: int, overrides: dict) -> dict:
    sizes = {"adapter_size": 16, "first_adapted_block": 1, "prompt_size": 32}
    return {**_adapted(vocab_size, overrides), **sizes}


def _adapted(vocab_size: int, overrides: dict) -> dict:
    """On SAM; on SAM2 where the method reads, or where `sam_config` says so."""
    fields = {"sam_config": nano_sam_config(128), "audio_config": tiny_config(VggishConfig)}
    if overrides.get("use_text"):
        fields |= {"sam_config": nano_sam2_config(128), "text_config": tiny_text_config(vocab_size)}
    return fields


_FIELDS: dict[type[PreTrainedConfig], Callable[[int, dict], dict]] = {
    AuralSam2Config: _aural_sam2,
    AvsegFormerConfig: _avsegformer,
    EemcConfig: _eemc,
    GavsConfig: _gavs,
    ReferFormerConfig: _referformer,
    Sam2LoveConfig: _sam2_love,
    SamaAvsConfig: _sama_avs,
    SimTokenConfig: _simtoken,
    StBavaConfig: _st_bava,
    SteppingStonesConfig: _stepping_stones,
    TpaviConfig: _tpavi,
    VggishConfig: _vggish,
}


def nano_sam2_config(image_size: int = 128) -> Sam2VideoConfig:
    """The smallest host that Transformers' SAM2 code runs, 1.6 M parameters, for tests and demonstrations."""
    width = 128
    fields = size_fields(image_size, 32)
    return Sam2VideoConfig(
        vision_config={
            "model_type": "sam2_vision_model",
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": 16,
                "image_size": [image_size, image_size],
                "blocks_per_stage": [1, 1, 2, 1],
                "embed_dim_per_stage": [16, 32, 64, 128],
                "num_attention_heads_per_stage": [1, 1, 2, 4],
                "window_size_per_stage": [8, 4, 8, 4],
                "global_attention_blocks": [3],
            },
            "backbone_channel_list": [128, 64, 32, 16],
            "backbone_feature_sizes": fields.pop("backbone_feature_sizes"),
            "fpn_hidden_size": width,
        },
        prompt_encoder_config={"hidden_size": width, "image_size": image_size},
        mask_decoder_config={"hidden_size": width, "mlp_dim": 128, "iou_head_hidden_dim": 64},
        memory_attention_hidden_size=width,
        memory_attention_num_layers=2,
        memory_attention_feed_forward_hidden_size=128,
        memory_encoder_hidden_size=width,
        mask_downsampler_embed_dim=width,
        memory_fuser_embed_dim=width,
        memory_fuser_intermediate_dim=128,
        enable_temporal_pos_encoding_for_object_pointers=False,
        enable_occlusion_spatial_embedding=False,
        **fields,
    )


def nano_sam_config(image_size: int = 128) -> SamConfig:
    """The smallest host that serves tests and demonstrations, 0.1 M parameters."""
    width = 32
    return SamConfig(
        vision_config={
            "hidden_size": width,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "mlp_ratio": 2.0,
            "window_size": 3,
            "global_attn_indexes": [1],
            "output_channels": width,
            "num_pos_feats": width // 2,
            "image_size": image_size,
            "initializer_range": 0.02,
        },
        prompt_encoder_config={"hidden_size": width, "image_size": image_size},
        mask_decoder_config={
            "hidden_size": width,
            "num_attention_heads": 4,
            "mlp_dim": 64,
            "iou_head_hidden_dim": width,
        },
    )


def nano_mask2former_config(width: int = 32, swin_width: int = 8, **fields: Any) -> Mask2FormerConfig:
    """The smallest host that serves tests and demonstrations, 0.1 M parameters; or a wider one.

    Args:
        width: of its decoders.
        swin_width: of the finest map of its Swin.
        fields: of the configuration that differ.
    """
    swin = SwinConfig(
        embed_dim=swin_width,
        depths=[1, 1, 2, 1],
        num_heads=[1, 1, 2, 4],
        window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    widths = ("feature_size", "mask_feature_size", "hidden_dim", "dim_feedforward", "encoder_feedforward_dim")
    sizes = {"encoder_layers": 1, "decoder_layers": 3, "num_attention_heads": 4, "num_queries": 8, "num_labels": 2}
    return Mask2FormerConfig(backbone_config=swin, **{**dict.fromkeys(widths, width), **sizes, **fields})


def tiny_pyramid_config(model_type: str) -> dict:
    """A PVT v2 ("pvt_v2"), ResNet ("resnet") or Swin ("swin") of 8 to 64 channels for tests and demonstrations."""
    if model_type == "swin":
        return nano_mask2former_config().backbone_config.to_dict()
    fields = {"model_type": model_type, "hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 2, 1]}
    if model_type == "resnet":
        return {**fields, "embedding_size": 8}
    return {**fields, "num_attention_heads": [1, 1, 2, 2], "mlp_ratios": [2, 2, 2, 2], "drop_path_rate": 0.1}


def tiny_text_config(vocab_size: int) -> dict:
    """A RoBERTa of one layer and 64 channels for tests and demonstrations."""
    return {
        "model_type": "roberta",
        "vocab_size": vocab_size,
        "hidden_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 128,
        "max_position_embeddings": 64,
        "type_vocab_size": 1,
    }
