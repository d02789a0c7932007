"""Reads checkpoints of the released AVSegFormer code into [`AvsegFormerModel`]."""

import re
from pathlib import Path

import torch

from ...backbones.pyramids.configuration_pyramids import pvt_v2_b5_config, resnet50_config
from ...backbones.pyramids.convert_pyramids import pvt_v2_keys, resnet_keys, split_pvt_v2
from ...backbones.sam.convert_sam import convert_checkpoint, read_checkpoint
from ...modeling.conversion import split_in_proj
from .configuration_avsegformer import AvsegFormerConfig
from .modeling_avsegformer import AvsegFormerModel
from .processing_avsegformer import AvsegFormerProcessor
from .semantic_avsegformer import AvsegFormerForSemanticSegmentation

# What the release calls the parts of the head, and what they are called here. The first rule that fits a key wins.
AVSEGFORMER_KEYS = [
    *pvt_v2_keys(r"backbone\.", "vision_encoder."),
    *resnet_keys(r"backbone\.", "vision_encoder.", stages=("1", "2", "3_1", "4_1")),
    (r"head\.learnable_query\.weight$", r"mask_decoder.learned_queries"),
    (r"head\.query_generator\.query\.weight$", r"mask_decoder.generator.queries"),
    (r"head\.query_generator\.layers\.(\d+)\.ffn\.0\.", r"mask_decoder.generator.layers.\1.feed_forward.linear1."),
    (r"head\.query_generator\.layers\.(\d+)\.ffn\.2\.", r"mask_decoder.generator.layers.\1.feed_forward.linear2."),
    (r"head\.query_generator\.", r"mask_decoder.generator."),
    (
        r"head\.transformer\.encoder\.layers\.(\d+)\.(linear[12])\.",
        r"pixel_decoder.layers.\1.feed_forward.\2.",
    ),
    (r"head\.transformer\.encoder\.", r"pixel_decoder."),
    (
        r"head\.transformer\.decoder\.layers\.(\d+)\.(linear[12])\.",
        r"mask_decoder.layers.\1.feed_forward.\2.",
    ),
    (r"head\.transformer\.decoder\.", r"mask_decoder."),
    (r"head\.level_embed$", r"pixel_decoder.level_embed"),
    (r"head\.in_proj\.", r"pixel_decoder.input_projections."),
    (r"head\.lateral_conv\.", r"pixel_decoder.lateral."),
    (r"head\.out_conv\.", r"pixel_decoder.output."),
    (r"head\.fusion_block\.proj\.", r"mask_decoder.mixer.attention.out_proj."),
    (r"head\.fusion_block\.", r"mask_decoder.mixer.attention."),
    (r"head\.mlp\.layers\.0\.", r"mask_decoder.squeeze.0."),
    (r"head\.mlp\.layers\.1\.", r"mask_decoder.squeeze.2."),
    (r"head\.mlp\.layers\.2\.", r"mask_decoder.squeeze.4."),
    (r"head\.fc\.", r"mask_decoder.predictor."),
    (r"audio_proj\.", r"audio_projection."),
    (r"vggish\.", r"audio_encoder."),
]
# What the released model never runs: the parts of its head, and a second copy of two stages of ResNet.
_UNUSED = re.compile(r"head\.(fpn|attn_fc)\.|backbone\.layer[34]_2\.")
# Rows of the last convolution: masks, or the classes of AVSBench's semantic subset.
_NUM_CLASSES = 71


def convert_avsegformer_checkpoint(
    checkpoint_path: str | Path, output_dir: str | Path, frame_size: int | None = None
) -> tuple[AvsegFormerModel, list[str]]:
    """Convert a checkpoint of the released code to a folder that `from_pretrained` reads.

    Args:
        checkpoint_path: a state dict as the released scripts save it (`backbone.*`, `vggish.*`, `head.*`, ...), of the
            framework since 14 August 2023.
        output_dir: a folder that is empty or does not exist; nothing is written unless everything fits.
        frame_size: edge of the square input; when None the one that the released loaders take, 512 for masks and 224
            for classes.

    Returns:
        The converted model, in evaluation mode, and the keys of the file that it has no use for.

    Raises:
        ValueError: when the file cannot be read, when keys or shapes differ from the model's (each one is named), or
            when `output_dir` already has content.
    """
    state = split_released(read_checkpoint(checkpoint_path, "checkpoint_path"))
    unused = frozenset(key for key in state if _UNUSED.match(key))
    config = released_config(state, frame_size)
    return convert_checkpoint(
        lambda: released_model(config), state, AVSEGFORMER_KEYS, AvsegFormerProcessor, output_dir, unused
    )


def released_model(config: AvsegFormerConfig) -> AvsegFormerModel:
    """An untrained model of a configuration by `released_config`."""
    return (AvsegFormerForSemanticSegmentation if config.num_labels == _NUM_CLASSES else AvsegFormerModel)(config)


def split_released(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A released state dict in which projections that were one layer are layers of their own."""
    split = {}
    for key, value in split_in_proj(split_pvt_v2(state)).items():
        if key == "head.fusion_block.kv_proj.weight":
            names = (f"head.fusion_block.{part}_proj.weight" for part in "kv")
            split |= zip(names, value.chunk(2), strict=True)
        else:
            split[key] = value
    return split


def released_config(state: dict[str, torch.Tensor], frame_size: int | None = None) -> AvsegFormerConfig:
    """The configuration that a released state dict is for.

    Raises:
        ValueError: when the file is of the older framework.
    """
    if "head.fc.4.weight" in state and "head.query_generator.query.weight" not in state:
        raise ValueError(
            "checkpoint_path: it lacks head.query_generator.query.weight; files from before 14 August 2023 "
            "belong to another model"
        )
    classes = len(state.get("head.fc.4.weight", ())) == _NUM_CLASSES
    fields = {"num_labels": _NUM_CLASSES} if classes else {}
    pvt = "backbone.patch_embed1.proj.weight" in state
    return AvsegFormerConfig(
        vision_config=pvt_v2_b5_config() if pvt else resnet50_config(),
        frame_size=frame_size or (224 if classes else 512),
        use_mixer="head.fusion_block.q_proj.weight" in state,
        use_learned_queries="head.learnable_query.weight" in state,
        **fields,
    )


__all__ = ["convert_avsegformer_checkpoint"]
