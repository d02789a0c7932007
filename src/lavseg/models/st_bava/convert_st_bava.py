"""Reads checkpoints of the released ST-BAVA code into [`StBavaModel`]."""

from pathlib import Path

import torch

from ...backbones.sam.convert_sam import SAM_KEYS, convert_checkpoint, read_checkpoint
from ...backbones.vggish.convert_vggish import read_vggish
from ...modeling.conversion import split_in_proj
from .configuration_st_bava import StBavaConfig
from .modeling_st_bava import StBavaModel
from .processing_st_bava import StBavaProcessor

ST_BAVA_KEYS = [
    *SAM_KEYS,
    (r"audio_embed_layer\.", r"audio_projection."),
    (r"layers\.(\d+)\.embed_audio\.", r"fusion.layers.\1.audio.mlp_in."),
    (r"layers\.(\d+)\.embed_audio2\.", r"fusion.layers.\1.audio.mlp_out."),
    (r"layers\.(\d+)\.norm1\.", r"fusion.layers.\1.audio.norm_in."),
    (r"layers\.(\d+)\.norm3_1\.", r"fusion.layers.\1.audio.norm_temporal."),
    (r"layers\.(\d+)\.norm3_2\.", r"fusion.layers.\1.audio.norm_spatial."),
    (r"layers\.(\d+)\.norm4\.", r"fusion.layers.\1.audio.norm_out."),
    (r"layers\.(\d+)\.embed_vis\.", r"fusion.layers.\1.vision.mlp_in."),
    (r"layers\.(\d+)\.embed_av\.", r"fusion.layers.\1.vision.mlp_out."),
    (r"layers\.(\d+)\.norm2\.", r"fusion.layers.\1.vision.norm_in."),
    (r"layers\.(\d+)\.norm5_1\.", r"fusion.layers.\1.vision.norm_temporal."),
    (r"layers\.(\d+)\.norm5_2\.", r"fusion.layers.\1.vision.norm_spatial."),
    (r"layers\.(\d+)\.norm6\.", r"fusion.layers.\1.vision.norm_out."),
    (r"layers\.(\d+)\.avt_attention\.", r"fusion.layers.\1.temporal.0."),
    (r"layers\.(\d+)\.avs_attention\.", r"fusion.layers.\1.spatial.0."),
    # The file has no VGGish: it is read from its own.
    (r"vggish\.", r"audio_encoder."),
]

# A second copy of SAM's position code, which the released model never uses.
UNUSED_KEYS = frozenset({"prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"})


def convert_st_bava_checkpoint(
    checkpoint_path: str | Path,
    vggish_path: str | Path,
    output_dir: str | Path,
    config: StBavaConfig | None = None,
) -> tuple[StBavaModel, list[str]]:
    """Convert a checkpoint of the released code to a folder that `from_pretrained` reads.

    Args:
        checkpoint_path: a state dict as the released scripts save it (`image_encoder.*`, `layers.*`, ...).
        vggish_path: the public `vggish-10086976.pth`, which the released code loads beside it.
        output_dir: a folder that is empty or does not exist; nothing is written unless everything fits.
        config: configuration of the model; ViT-H with as many blocks as the file has when None.

    Returns:
        The converted model, in evaluation mode, and the keys of the file that it has no use for.

    Raises:
        ValueError: when a file cannot be read, when keys or shapes differ from the model's (each one is named), or when
            `output_dir` already has content.
    """
    state = read_checkpoint(checkpoint_path, "checkpoint_path")
    vggish = read_vggish(vggish_path, "vggish_path")
    if config is None:
        config = StBavaConfig(num_fusion_layers=max(1, _num_layers(state)))
    state = split_in_proj(state) | {f"vggish.{key}": value for key, value in vggish.items()}
    return convert_checkpoint(
        lambda: StBavaModel(config), state, ST_BAVA_KEYS, StBavaProcessor, output_dir, UNUSED_KEYS
    )


def _num_layers(state: dict[str, torch.Tensor]) -> int:
    return len({key.split(".")[1] for key in state if key.startswith("layers.")})
