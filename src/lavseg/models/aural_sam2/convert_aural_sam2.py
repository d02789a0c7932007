"""Reads the authors' checkpoints of AuralSAM2 into [`AuralSam2Model`]."""

import re
from pathlib import Path
from zipfile import is_zipfile

import torch
from transformers import AutoConfig, AutoModel

from ...backbones.sam2.convert_sam2 import read_sam2, sam2_config_of, sam2_state_from_original
from ...modeling.conversion import check_state, read_tensors
from ...modeling.encoders import load_tokenizer
from ...output_folders import check_new_folder, staged_folder
from .configuration_aural_sam2 import AuralSam2Config
from .modeling_aural_sam2 import AuralSam2Model
from .processing_aural_sam2 import AuralSam2Processor

TEXT_ENCODER = "distilbert/distilroberta-base"
WHOLE_MODEL_PREFIXES = {"sam2": "v_model.", "fuser": "aural_fuser.", "text": "t_model."}

# Older names of the fuser's modules, in the order of its list `training_layers`.
_TRAINING_LAYERS = [
    *(f"patch_embeds.{level}" for level in range(3)),
    *(f"{module}.{level}" for level in range(3) for module in ("f_blocks", "a_blocks", "fusion_modules")),
    "smooth_convs.0",
    "smooth_convs.1",
    "train_proj_v1",
    "train_proj_a1",
    "text_proj",
]
_OLD_MODULES = {
    "train_f_patch_embed": "patch_embeds",
    "train_f_block": "f_blocks",
    "train_a_block": "a_blocks",
    "train_f_a_block": "fusion_modules",
    "train_smooth": "smooth_convs",
}

# Modules of the released fuser that no forward pass reads.
_DEAD = re.compile(
    r"a_blocks\.\d\.\d\.(attn\.(sr|norm)|mlp\.dwconv\.dwconv)\.|fusion_modules\.\d\.(g|align_channel_back)\."
)
# Parts of a RoBERTa state dict that its last hidden state does not depend on.
_UNREAD_TEXT = re.compile(r"^pooler\.|position_ids$")

_RENAMES = [
    (r"^vgg\.", "audio_encoder."),
    (r"^patch_embeds\.(\d)\.", r"fuser.levels.\1.patch_embed."),
    (r"^f_blocks\.(\d)\.", r"fuser.levels.\1.frame_blocks."),
    (r"^a_blocks\.(\d)\.", r"fuser.levels.\1.token_blocks."),
    (r"^fusion_modules\.(\d)\.", r"fuser.levels.\1.fusion."),
    (r"^smooth_convs\.(\d)\.", lambda m: f"fuser.levels.{int(m[1]) + 1}.smooth."),
    (r"^train_proj_v1\.proj\.", "fuser.frame_head."),
    (r"^train_proj_a1\.proj\.", "fuser.token_head."),
    (r"^text_proj\.", "fuser.text_projection."),
    (r"\.attn\.q\.", ".attention.query."),
    (r"\.attn\.kv\.", ".attention.key_value."),
    (r"\.attn\.proj\.", ".attention.output."),
    (r"\.attn\.sr\.", ".attention.reduction."),
    (r"\.attn\.norm\.", ".attention.reduction_norm."),
    (r"\.mlp\.fc(\d)\.", r".linear\1."),
    (r"\.mlp\.dwconv\.dwconv\.", ".depthwise."),
    (r"\.align_channel\.", ".align."),
    (r"\.(q|k|v)_(frame|audio)\.", lambda m: f".{_STREAM[m[2]]}_{_ROLE[m[1]]}."),
    (r"\.W_z\.0\.", ".frame_output."),
    (r"\.W_z\.1\.", ".frame_batch_norm."),
    (r"\.W_z2\.0\.", ".token_output."),
    (r"\.W_z2\.1\.", ".token_batch_norm."),
    (r"\.norm_layer\.", ".frame_norm."),
    (r"\.norm_layer2\.", ".token_norm."),
]
_STREAM = {"frame": "frame", "audio": "token"}
_ROLE = {"q": "query", "k": "key", "v": "value"}


def split_checkpoint(state: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """The parts of a released file by name, "fuser" and, in a whole-model file, "sam2" and with text "text".

    Raises:
        ValueError: when keys of a whole-model file belong to no part.
    """
    state = {re.sub(r"^audio_prompter\.", "aural_fuser.", key): value for key, value in state.items()}
    if not any(key.startswith(tuple(WHOLE_MODEL_PREFIXES.values())) for key in state):
        return {"fuser": state}
    parts = {}
    for name, prefix in WHOLE_MODEL_PREFIXES.items():
        part = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if part:
            parts[name] = part
    unknown = [key for key in state if not key.startswith(tuple(WHOLE_MODEL_PREFIXES.values()))]
    if unknown:
        raise ValueError(f"checkpoint_path: a whole-model file with unknown keys: {', '.join(unknown)}")
    return parts


def holds_host(checkpoint_path: str | Path) -> bool:
    """Whether one of the authors' files is a whole model, SAM2 included. Of all but PyTorch's oldest files the names
    alone are read.

    Raises:
        ValueError: when the file cannot be read.
    """
    state = read_tensors(checkpoint_path, "checkpoint_path", mmap=is_zipfile(checkpoint_path))
    return "sam2" in split_checkpoint(state)


def current_names(fuser: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Rename a fuser of the older key layouts to the current one.

    Returns:
        The renamed state, and the keys that were left out because the file holds the same tensor under another name.
    """
    renamed, aliases = {}, []
    for key, value in fuser.items():
        if match := re.match(r"training_layers\.(\d+)\.", key):
            if int(match[1]) < len(_TRAINING_LAYERS):
                aliases.append((key, f"{_TRAINING_LAYERS[int(match[1])]}.{key[match.end() :]}"))
                continue
        elif key.startswith("finetuning_layers.0."):
            aliases.append((key, "vgg." + key.removeprefix("finetuning_layers.0.")))
            continue
        elif (match := re.match(r"(train_\w+?)(\d)\.", key)) and match[1] in _OLD_MODULES:
            key = f"{_OLD_MODULES[match[1]]}.{int(match[2]) - 1}.{key[match.end() :]}"
        renamed[key] = value
    duplicates = [key for key, name in aliases if name in renamed]
    renamed.update({name: fuser[key] for key, name in aliases if name not in renamed})
    return renamed, duplicates


def fuser_state_from_release(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the tensors of a released fuser (VGGish included) to those of [`AuralSam2Model`].

    Convolutions of size one become the matrices that linear layers take. Modules that are never read are left out.
    """
    renamed = {}
    for key, value in state.items():
        if _DEAD.match(key):
            continue
        one_by_one = value.dim() > 2 and not key.startswith(("vgg.", "patch_embeds.")) and set(value.shape[2:]) == {1}
        if one_by_one:
            value = value.flatten(1)
        for pattern, replacement in _RENAMES:
            key = re.sub(pattern, replacement, key)
        renamed[key] = value
    return renamed


def read_release(
    checkpoint_path: str | Path, sam2: str | Path | None = None, text: str = TEXT_ENCODER, image_size: int = 1024
) -> tuple[AuralSam2Config, dict[str, torch.Tensor], list[str]]:
    """Read one of the authors' `.pth` files.

    Args:
        checkpoint_path, sam2, text, image_size: see `convert_aural_sam2_checkpoint`.

    Returns:
        The configuration, the state dict of its [`AuralSam2Model`], and the keys of the file it has no use for.

    Raises:
        ValueError: when a file cannot be read, when keys or shapes differ from the network's (each one is named), or
            when `sam2` is missing or not needed.
    """
    parts = split_checkpoint(read_tensors(checkpoint_path, "checkpoint_path"))
    if "sam2" in parts and sam2 is not None:
        raise ValueError(f"sam2: {checkpoint_path} holds its own host, leave it out")
    if "sam2" not in parts and sam2 is None:
        raise ValueError(f"sam2: {checkpoint_path} holds no host; name the SAM 2 checkpoint it was trained with")
    fuser, unused = current_names(parts.get("fuser", {}))
    use_text = any(key.startswith("text_proj.") for key in fuser)
    host = sam2_state_from_original(parts["sam2"]) if "sam2" in parts else read_sam2(sam2)
    config = AuralSam2Config(
        sam2_config=sam2_config_of(host, image_size),
        text_config=AutoConfig.from_pretrained(text) if use_text else None,
        use_text=use_text,
        behavior="release",
        contrastive_loss="audiocon_release",
        contrastive_samples=192 if use_text else 384,
    )
    state = {f"sam2.{key}": value for key, value in host.items()} | fuser_state_from_release(fuser)
    unused += [key for key in fuser if _DEAD.match(key)]
    if use_text:
        encoder = parts["text"] if "text" in parts else AutoModel.from_pretrained(text).state_dict()
        state |= {f"text_encoder.{key}": value for key, value in encoder.items() if not _UNREAD_TEXT.search(key)}
    unused += [f"t_model.{key}" for key in parts.get("text", {}) if not use_text or _UNREAD_TEXT.search(key)]
    with torch.device("meta"):
        expected = AuralSam2Model(config).state_dict()
    check_state(state, expected, "a released AuralSAM2 checkpoint with its host")
    return config, state, unused


def convert_aural_sam2_checkpoint(
    checkpoint_path: str | Path,
    output_dir: str | Path,
    sam2: str | Path | None = None,
    text: str = TEXT_ENCODER,
    image_size: int = 1024,
) -> tuple[AuralSam2Model, list[str]]:
    """Convert one of the authors' `.pth` files to a folder with weights, config and processor.

    Args:
        checkpoint_path: a fuser (VGGish included) or a whole model, with or without text, in the present key layout
            or one of the older ones.
        output_dir: a folder that is empty or does not exist; nothing is written unless everything fits.
        sam2: for a fuser: the host it was trained with, one of Meta's `.pt` files, or the folder or Hub id of a
            Transformers SAM2 video model. The released ones take SAM 2.0 Hiera-L.
        text: folder or Hub id of the text encoder and its tokenizer, for models that read text.
        image_size: edge of the square input. 1024 as evaluated; the code takes 224 for Hiera-T without text.

    Returns:
        The converted model, in evaluation mode, and the keys of the file that it has no use for.

    Raises:
        ValueError: as `read_release` does, and when `output_dir` already has content.
    """
    output_dir = check_new_folder(output_dir, "output_dir")
    config, state, unused = read_release(checkpoint_path, sam2, text, image_size)
    tokenizer = load_tokenizer("text", text) if config.use_text else None
    model = AuralSam2Model.from_pretrained(None, config=config, state_dict=state)
    with staged_folder(output_dir) as folder:
        model.save_pretrained(folder)
        AuralSam2Processor.from_config(config, tokenizer).save_pretrained(folder)
    return model, unused
