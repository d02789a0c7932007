"""Reads checkpoints of the released AVSBench code into [`TpaviModel`] and [`TpaviForSemanticSegmentation`]."""

import re
from pathlib import Path
from typing import Any

import torch

from ...backbones.pyramids.configuration_pyramids import pvt_v2_b5_config, resnet50_config
from ...backbones.pyramids.convert_pyramids import pvt_v2_keys, resnet_keys, split_pvt_v2
from ...backbones.sam.convert_sam import convert_checkpoint, read_checkpoint
from ...backbones.vggish.convert_vggish import read_vggish
from .configuration_tpavi import NUM_STAGES, TpaviConfig
from .modeling_tpavi import TpaviModel
from .processing_tpavi import TpaviProcessor
from .semantic_tpavi import TpaviForSemanticSegmentation

_BLOCK = [
    ("align_channel", "audio_projection"),
    ("theta", "theta"),
    ("phi", "phi"),
    ("g", "g"),
    (r"W_z\.0", "output"),
    (r"W_z\.1", "batch_norm"),
    ("norm_layer", "norm"),
]

TPAVI_KEYS = [
    *pvt_v2_keys(r"encoder_backbone\.", "vision."),
    # Of the two branches of the released ResNet the first one runs.
    *resnet_keys(r"resnet\.", "vision.", stages=("1", "2", "3_1", "4_1")),
    *(
        (rf"tpavi_b{stage + 1}\.{old}\.", f"blocks.{stage}.{new}.")
        for stage in range(NUM_STAGES)
        for old, new in _BLOCK
    ),
    *((rf"conv{stage + 1}\.conv2d_list\.(\d)\.", rf"stages.{stage}.convolutions.\1.") for stage in range(NUM_STAGES)),
    *(
        (rf"path{stage + 1}\.resConfUnit{unit}\.", f"decoder.paths.{stage}.{name}.")
        for stage in range(NUM_STAGES)
        for unit, name in ((1, "skip"), (2, "unit"))
    ),
    *((rf"output_conv\.{old}\.", f"decoder.conv{new}.") for old, new in ((0, 1), (2, 2), (4, 3))),
    # The file has no VGGish: it is read from its own.
    (r"vggish\.", r"audio_encoder."),
]

# The second branch of the ResNet, and a unit of the deepest stage, which the released model never runs.
_UNUSED = re.compile(r"resnet\.layer[34]_2\.|path4\.resConfUnit1\.")


def split_released(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A released state dict whose layers are as here: 1x1x1 convolutions linear, keys and values of PVT v2 apart."""
    return {key: value[..., 0, 0, 0] if value.dim() == 5 else value for key, value in split_pvt_v2(state).items()}


def convert_tpavi_checkpoint(
    checkpoint_path: str | Path, vggish_path: str | Path, output_dir: str | Path, config: TpaviConfig | None = None
) -> tuple[TpaviModel, list[str]]:
    """Convert a checkpoint of the released code to a folder that `from_pretrained` reads.

    Args:
        checkpoint_path: a state dict as the released scripts save it, of PVT-v2-B5 or ResNet-50, for masks or classes.
        vggish_path: the public `vggish-10086976.pth`, which the released code runs beside it.
        output_dir: a folder that is empty or does not exist; nothing is written unless everything fits.
        config: configuration of the model; what the file says when None.

    Returns:
        The converted model, in evaluation mode, and the keys of the file that it has no use for.

    Raises:
        ValueError: when a file cannot be read, when keys or shapes differ from the model's (each one is named), or when
            `output_dir` already has content.
    """
    state = split_released(read_checkpoint(checkpoint_path, "checkpoint_path"))
    vggish = read_vggish(vggish_path, "vggish_path")
    config = released_config(state) if config is None else config
    names_classes = "TpaviForSemanticSegmentation" in config.architectures
    kind = TpaviForSemanticSegmentation if names_classes else TpaviModel
    state |= {f"vggish.{key}": value for key, value in vggish.items()}
    unused = frozenset(filter(_UNUSED.match, state))
    return convert_checkpoint(lambda: kind(config), state, TPAVI_KEYS, TpaviProcessor, output_dir, unused)


def released_config(state: dict[str, torch.Tensor], **overrides: Any) -> TpaviConfig:
    """The configuration that the keys and shapes of a released state dict tell.

    Args:
        state: as the file has it or as `split_released` makes it.
        overrides: fields of [`TpaviConfig`] that differ.
    """
    on_resnet = any(key.startswith("resnet.") for key in state)
    stages = [stage for stage in range(1, NUM_STAGES + 1) if f"tpavi_b{stage}.theta.weight" in state]
    outputs = len(state.get("output_conv.4.bias", [0]))
    classes = {"num_labels": outputs, "architectures": ["TpaviForSemanticSegmentation"]} if outputs > 1 else {}
    fields = {
        "vision_config": resnet50_config() if on_resnet else pvt_v2_b5_config(),
        "audio_stages": stages,
        "audio_projection_bias": not stages or f"tpavi_b{stages[0]}.align_channel.bias" in state,
        **classes,
    }
    return TpaviConfig(**{**fields, **overrides})
