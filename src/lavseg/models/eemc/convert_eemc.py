"""Reads checkpoints of the released Ref-AVS code into [`EemcModel`]."""

import re
from pathlib import Path

import torch
from transformers import AutoConfig

from ...backbones.mask2former.convert_mask2former import MASK2FORMER_KEYS, UNUSED_MASK2FORMER_KEYS, renamed
from ...backbones.vggish.convert_vggish import read_vggish
from ...modeling.conversion import check_state, read_tensors
from ...modeling.encoders import load_encoder, load_tokenizer
from ...output_folders import check_new_folder, staged_folder
from .configuration_eemc import EemcConfig
from .modeling_eemc import EemcModel
from .processing_eemc import EemcProcessor

TEXT_ENCODER = "distilbert/distilroberta-base"
UNUSED_KEYS = re.compile(UNUSED_MASK2FORMER_KEYS)

_RENAMES = [
    (r"^model_v\.model\.transformer_module\.ref_avs_attn\.", "query_attention."),
    (r"^model_v\.", "mask2former."),
    (r"^(audio|text|prompt)_proj\.", r"fusion.\1_proj."),
    (r"^mha_A_T\.", "fusion.audio_text."),
    (r"^mha_V_T\.", "fusion.image_text."),
    (r"^mha_mm\.", "fusion.integration."),
    (r"\.self_attn\.avs_adapt\.", ".self_attn.adapter."),
    *MASK2FORMER_KEYS,
]


def current_name(key: str) -> str:
    """The name here of a tensor of the released code."""
    return renamed(key, _RENAMES)


def state_from_release(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of a released checkpoint by their names here, without those that nothing reads."""
    return {current_name(key): value for key, value in state.items() if not UNUSED_KEYS.search(key)}


def convert_eemc_checkpoint(
    checkpoint_path: str | Path,
    vggish_path: str | Path,
    output_dir: str | Path,
    text: str = TEXT_ENCODER,
    config: EemcConfig | None = None,
) -> tuple[EemcModel, list[str]]:
    """Convert a checkpoint of the released code to a folder that `from_pretrained` reads.

    Args:
        checkpoint_path: a state dict as the released script saves it (`model_v.*`, `mha_*`, ...).
        vggish_path: the public `vggish-10086976.pth`, which the released code loads beside it.
        output_dir: a folder that is empty or does not exist; nothing is written unless everything fits.
        text: folder or Hub id of the text encoder, which the file lacks, and its tokenizer.
        config: configuration of the model; the release's, with the text encoder's own, when None.

    Returns:
        The converted model, in evaluation mode, and the keys of the file that it has no use for.

    Raises:
        ValueError: when a file cannot be read, when keys or shapes differ from the model's (each one is named), or when
            `output_dir` already has content.
    """
    output_dir = check_new_folder(output_dir, "output_dir")
    released = read_tensors(checkpoint_path, "checkpoint_path")
    state = {key: value.float() for key, value in state_from_release(released).items()}
    vggish = read_vggish(vggish_path, "vggish_path")
    if config is None:
        config = EemcConfig(text_config=AutoConfig.from_pretrained(text))
    encoders = {"audio_encoder": vggish, "text_encoder": load_encoder(text, "text_config").state_dict()}
    state |= {f"{part}.{key}": value for part, tensors in encoders.items() for key, value in tensors.items()}
    with torch.device("meta"):
        expected = EemcModel(config).state_dict()
    check_state(state, expected, "a released EEMC checkpoint with VGGish")
    model = EemcModel.from_pretrained(None, config=config, state_dict=state)
    with staged_folder(output_dir) as folder:
        model.save_pretrained(folder)
        EemcProcessor.from_config(config, load_tokenizer("text", text)).save_pretrained(folder)
    return model, sorted(key for key in released if UNUSED_KEYS.search(key))
