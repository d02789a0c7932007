"""Reads checkpoints of the released ReferFormer code into [`ReferFormerModel`]."""

import argparse
import re
from pathlib import Path

import torch
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from ...backbones.pyramids.configuration_pyramids import resnet50_config, swin_config
from ...backbones.pyramids.convert_pyramids import resnet_keys, split_qkv, swin_keys
from ...backbones.sam.convert_sam import read_checkpoint, rename_keys
from ...backbones.vggish.convert_vggish import read_vggish
from ...modeling.conversion import check_state, split_in_proj
from ...modeling.encoders import load_tokenizer
from ...output_folders import check_new_folder, staged_folder
from .configuration_referformer import ReferFormerConfig
from .modeling_referformer import ReferFormerModel
from .processing_referformer import ReferFormerProcessor

_BODY, _VISION = r"backbone\.0\.body\.", "vision_encoder."
_ENCODER, _DECODER = r"transformer\.encoder\.layers\.(\d+)\.", r"transformer\.decoder\.layers\.(\d+)\."
_HERE_ENCODER, _HERE_DECODER = r"transformer.encoder_layers.\1.", r"transformer.decoder_layers.\1."


def _pyramid_keys(level: int) -> list[tuple[str, str]]:
    """Rules for one level, which the release counts from stride 4 as 1 on, and this package from stride 32 as 0."""
    there, here = rf"pixel_decoder\.{{}}_{4 - level}\.", f"pixel_decoder.levels.{level}."
    block = there.format("cross_attn")
    return [
        *((there.format(name) + "weight$", f"{here}{name}.0.weight") for name in ("adapter", "layer")),
        *((there.format(name) + r"norm\.", f"{here}{name}.1.") for name in ("adapter", "layer")),
        (rf"{block}self_attn\.", f"{here}clip_attention.attention."),
        (rf"{block}norm1\.", f"{here}clip_attention.norm."),
        (rf"{block}multihead_attn\.", f"{here}word_attention.attention."),
        (rf"{block}(linear[12])\.", rf"{here}word_attention.\1."),
        (rf"{block}norm2\.", f"{here}word_attention.norm1."),
        (rf"{block}norm3\.", f"{here}word_attention.norm2."),
    ]


# What the release calls its tensors, and what they are called here. The first rule that fits a key wins.
REFERFORMER_KEYS = [
    *resnet_keys(_BODY, _VISION),
    *swin_keys(_BODY, _VISION),
    (r"transformer\.level_embed$", "transformer.level_embed.weight"),
    (rf"{_ENCODER}norm1\.", f"{_HERE_ENCODER}self_attn_layer_norm."),
    (rf"{_ENCODER}norm2\.", f"{_HERE_ENCODER}final_layer_norm."),
    (rf"{_ENCODER}linear([12])\.", rf"{_HERE_ENCODER}mlp.fc\2."),
    (rf"{_ENCODER}self_attn\.", f"{_HERE_ENCODER}self_attn."),
    # The norms of the decoder are numbered by use in Deformable DETR's first form, where self-attention came second.
    (rf"{_DECODER}norm1\.", f"{_HERE_DECODER}encoder_attn_layer_norm."),
    (rf"{_DECODER}norm2\.", f"{_HERE_DECODER}self_attn_layer_norm."),
    (rf"{_DECODER}norm3\.", f"{_HERE_DECODER}final_layer_norm."),
    (rf"{_DECODER}linear([12])\.", rf"{_HERE_DECODER}mlp.fc\2."),
    (rf"{_DECODER}cross_attn\.", f"{_HERE_DECODER}encoder_attn."),
    (rf"{_DECODER}self_attn\.out_proj\.", f"{_HERE_DECODER}self_attn.o_proj."),
    (rf"{_DECODER}self_attn\.", f"{_HERE_DECODER}self_attn."),
    (r"transformer\.reference_points\.", "transformer.reference_points."),
    (r"query_embed\.", "transformer.queries."),
    (r"class_embed\.", "transformer.class_heads."),
    (r"bbox_embed\.", "transformer.box_heads."),
    (r"input_proj\.", "input_projections."),
    (r"text_encoder\.", "text_encoder."),
    (r"resizer\.fc\.", "text_projection.linear."),
    (r"resizer\.layer_norm\.", "text_projection.norm."),
    (r"fusion_module\.multihead_attn\.", "fusion.attention."),
    *(rule for level in range(4) for rule in _pyramid_keys(level)),
    (r"pixel_decoder\.mask_features\.", "pixel_decoder.mask_features."),
    (r"controller\.", "mask_head.controller."),
]
# Indices that follow from sizes, and what counting operations leaves behind.
UNUSED = re.compile(r"(.*\.relative_position_index|text_encoder\.embeddings\.position_ids|.*total_(params|ops))$")
TEXT_ENCODER = "FacebookAI/roberta-base"
# The box heads, a second time.
_TWICE = "transformer.decoder."


def split_released(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A released state dict in which projections that were one layer are layers of their own where they are here,
    without what nothing reads.

    Raises:
        ValueError: when a box head that is there twice differs.
    """
    kept = {}
    for key, value in state.items():
        if key.startswith(f"{_TWICE}bbox_embed."):
            other = state.get(key.removeprefix(_TWICE))
            if other is None or not torch.equal(value, other):
                raise ValueError(f"checkpoint_path: {key} and {key.removeprefix(_TWICE)} have to be the same layer")
        elif not UNUSED.match(key):
            kept[key] = value
    joined = {key: value for key, value in kept.items() if re.match(rf"{_DECODER}self_attn\.in_proj_", key)}
    return split_qkv({key: value for key, value in kept.items() if key not in joined}) | split_in_proj(joined)


def released_vision_config(state: dict[str, torch.Tensor]) -> PreTrainedConfig:
    """The configuration of the image encoder that a released state dict is for.

    Raises:
        ValueError: when it is none of those here.
    """
    body = "backbone.0.body."
    if f"{body}conv1.weight" in state:
        return resnet50_config(depths=[3, 4, 23 if f"{body}layer3.22.conv1.weight" in state else 6, 3])
    patches = state.get(f"{body}patch_embed.proj.weight")
    if patches is None:
        raise ValueError(
            f"checkpoint_path: it has no image encoder of ReferFormer, {body}*, but {next(iter(state), None)}"
        )
    if patches.dim() == 5:
        raise ValueError(
            "checkpoint_path: its image encoder is a Video-Swin, which is not supported; take a file on ResNet or Swin"
        )
    if len(patches) not in (96, 128, 192):
        raise ValueError(f"checkpoint_path: a Swin has 96, 128 or 192 channels, this one {len(patches)}")
    deep = {"depths": [2, 2, 18, 2]} if f"{body}layers.2.blocks.17.norm1.weight" in state else {}
    return swin_config(len(patches), **deep)


def read_released(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a file as the released scripts save it, in single precision. Of other classes than tensors the
    one that holds the script's arguments is read, which does nothing.

    Raises:
        ValueError: when there is no such file, or it is not a dict of tensors.
    """
    with torch.serialization.safe_globals([argparse.Namespace]):
        return read_checkpoint(path, "checkpoint_path")


def convert_referformer_checkpoint(
    checkpoint_path: str | Path,
    output_dir: str | Path,
    text: str = TEXT_ENCODER,
    vggish_path: str | Path | None = None,
    absence_classifier: bool = False,
    config: ReferFormerConfig | None = None,
) -> tuple[ReferFormerModel, list[str]]:
    """Convert a checkpoint of the released code to a folder that `from_pretrained` reads.

    Args:
        checkpoint_path: a file as the released scripts save it, on ResNet or Swin; its text encoder is fine-tuned and
            taken from it.
        output_dir: a folder that is empty or does not exist; nothing is written unless everything fits.
        text: folder or Hub id that the tokenizer is taken from.
        vggish_path: the public `vggish-10086976.pth` for a model with sound, which starts as the one without and has
            to be trained; without it the model hears nothing, as published.
        absence_classifier: add R2VOS' classifier, which has to be trained; at first the model is the one without.
        config: configuration of the model; when None the release's, on the image encoder that the file has.

    Returns:
        The converted model, in evaluation mode, and the keys of the file that it has no use for.

    Raises:
        ValueError: when the file cannot be read or is on Video-Swin, when keys or shapes differ from the model's (each
            one is named), when the tokenizer has another number of tokens than the file's text encoder, or when
            `output_dir` already has content.
    """
    output_dir = check_new_folder(output_dir, "output_dir")
    released = read_released(checkpoint_path)
    if config is None:
        added = {"use_audio": vggish_path is not None, "absence_classifier": absence_classifier}
        config = ReferFormerConfig(vision_config=released_vision_config(released), **added)
    tokenizer = _fitting_tokenizer(text, config)
    state = split_released(released)
    names = rename_keys(state, REFERFORMER_KEYS)
    with torch.device("meta"):
        expected = ReferFormerModel(config).state_dict()
    found = {name: state[key] for key, name in names.items() if name in expected}
    if vggish_path is not None:
        found |= {f"audio_encoder.{key}": value for key, value in read_vggish(vggish_path, "vggish_path").items()}
    # What is not published is drawn anew, its ways in as zero.
    new = ("sound.", "sound_fusion.") if vggish_path is not None else ()
    new += ("absence.",) if config.absence_classifier else ()
    expected = {name: value for name, value in expected.items() if not name.startswith(new)}
    unknown = [key for key, name in names.items() if name not in expected]
    check_state(found, expected, "a released ReferFormer checkpoint", unknown)
    model = ReferFormerModel.from_pretrained(None, config=config, state_dict=found)
    with staged_folder(output_dir) as folder:
        model.save_pretrained(folder)
        ReferFormerProcessor.from_config(config, tokenizer).save_pretrained(folder)
    return model, sorted(key for key in released if UNUSED.match(key))


def _fitting_tokenizer(text: str, config: ReferFormerConfig) -> PreTrainedTokenizerBase:
    tokenizer, known = load_tokenizer("text", text), config.text_config.vocab_size
    if len(tokenizer) != known:
        raise ValueError(
            f"text: the tokenizer of {text} has {len(tokenizer)} tokens, the text encoder of the file knows {known}; "
            "take the one that it was trained with"
        )
    return tokenizer


__all__ = ["convert_referformer_checkpoint"]
