"""Reads the published checkpoints of SAMA-AVS into [`SamaAvsModel`]."""

from pathlib import Path

from ...backbones.sam.convert_sam import SAM_KEYS, convert_checkpoint, read_checkpoint
from .configuration_sama_avs import SamaAvsConfig
from .modeling_sama_avs import SamaAvsModel
from .processing_sama_avs import SamaAvsProcessor

SAMA_AVS_KEYS = [
    *SAM_KEYS,
    (r"audio_encoder\.audio_backbone\.", r"audio_encoder."),
    (r"no_mask_embed\.", r"sam.prompt_encoder.no_mask_embed."),
]


def convert_sama_avs_checkpoint(
    checkpoint_path: str | Path, output_dir: str | Path, config: SamaAvsConfig | None = None
) -> tuple[SamaAvsModel, list[str]]:
    """Convert a published `model_epoch_best.pth` to a folder that `from_pretrained` reads.

    Its position code and no-mask embedding are not SAM's and are taken from the file. It holds no embeddings of points
    and masks, which the model never uses: they become zero.

    Args:
        checkpoint_path: a state dict (`image_encoder.*`, `mask_decoder.*`, `audio_encoder.*`, ...).
        output_dir: a folder that is empty or does not exist; nothing is written unless everything fits.
        config: configuration of the model; ViT-H when None.

    Returns:
        The converted model, in evaluation mode, and the keys of the file that it has no use for.

    Raises:
        ValueError: when the file cannot be read, when keys or shapes differ from the model's (each one is named), or
            when `output_dir` already has content.
    """
    state = read_checkpoint(checkpoint_path, "checkpoint_path")
    config = SamaAvsConfig() if config is None else config
    return convert_checkpoint(
        lambda: SamaAvsModel(config), state, SAMA_AVS_KEYS, SamaAvsProcessor, output_dir, blank=_is_point_or_mask
    )


def _is_point_or_mask(key: str) -> bool:
    return key.startswith(tuple(f"sam.prompt_encoder.{part}" for part in ("point_", "mask_", "not_a_point_")))
