"""Files as the released code of ReferFormer writes them, of tiny models."""

import re

import torch

from lavseg.backbones.sam.convert_sam import rename_keys
from lavseg.models.referformer.convert_referformer import REFERFORMER_KEYS
from sam_reference import both

# Layers that are one there and several here: which, and the name of all.
JOINED = [
    (r"(transformer\.decoder\.layers\.\d+\.self_attn)\.[qkv]_proj\.(weight|bias)", r"\1.in_proj_\2"),
    (r"(backbone\..*\.attn)\.[qkv]_proj\.", r"\1.qkv."),
]


def _attention(name):
    return [f"{name}.in_proj_weight", f"{name}.in_proj_bias", *both(f"{name}.out_proj")]


def _resnet(depths):
    keys, norm = [], ("weight", "bias", "running_mean", "running_var")
    keys += ["conv1.weight", *(f"bn1.{part}" for part in norm)]
    for stage, depth in enumerate(depths, 1):
        for block in range(depth):
            layer = f"layer{stage}.{block}"
            for part in (1, 2, 3):
                keys += [f"{layer}.conv{part}.weight", *(f"{layer}.bn{part}.{each}" for each in norm)]
            if not block:
                keys += [f"{layer}.downsample.0.weight", *(f"{layer}.downsample.1.{each}" for each in norm)]
    return keys


def _swin(depths):
    keys = both("patch_embed.proj", "patch_embed.norm", *(f"norm{stage}" for stage in range(4)))
    for stage, depth in enumerate(depths):
        for number in range(depth):
            block = f"layers.{stage}.blocks.{number}"
            parts = ("norm1", "norm2", "attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.proj", "mlp.fc1", "mlp.fc2")
            keys += [*both(*(f"{block}.{part}" for part in parts)), f"{block}.attn.relative_position_bias_table"]
        if stage < 3:
            keys += [f"layers.{stage}.downsample.reduction.weight", *both(f"layers.{stage}.downsample.norm")]
    return keys


def _transformer(config):
    keys, deformable = (
        ["transformer.level_embed"],
        ("sampling_offsets", "attention_weights", "value_proj", "output_proj"),
    )
    for number in range(config.num_encoder_layers):
        layer = f"transformer.encoder.layers.{number}"
        keys += both(*(f"{layer}.self_attn.{part}" for part in deformable))
        keys += both(*(f"{layer}.{part}" for part in ("norm1", "norm2", "linear1", "linear2")))
    for number in range(config.num_decoder_layers):
        layer = f"transformer.decoder.layers.{number}"
        keys += both(*(f"{layer}.cross_attn.{part}" for part in deformable))
        keys += both(*(f"{layer}.self_attn.{part}_proj" for part in ("q", "k", "v", "out")))
        keys += both(*(f"{layer}.{part}" for part in ("norm1", "norm2", "norm3", "linear1", "linear2")))
        keys += both(f"class_embed.{number}", *(f"bbox_embed.{number}.layers.{part}" for part in range(3)))
    return [*keys, *both("transformer.reference_points"), "query_embed.weight"]


def _pixel_decoder():
    keys = both("pixel_decoder.mask_features")
    for level in range(1, 5):
        for part in ("adapter", "layer"):
            name = f"pixel_decoder.{part}_{level}"
            keys += [f"{name}.weight", *both(f"{name}.norm")]
        block = f"pixel_decoder.cross_attn_{level}"
        keys += [*_attention(f"{block}.self_attn"), *_attention(f"{block}.multihead_attn")]
        keys += both(*(f"{block}.{part}" for part in ("linear1", "linear2", "norm1", "norm2", "norm3")))
    return keys


def released_file(model):
    """The state dict that the release would save of a tiny model, with the box heads twice and what nobody reads."""
    state, vision = model.state_dict(), model.config.vision_config
    body = _resnet(vision.depths) if vision.model_type == "resnet" else _swin(vision.depths)
    keys = [f"backbone.0.body.{key}" for key in body]
    keys += [f"text_encoder.{key}" for key in model.text_encoder.state_dict()]
    keys += [*both("resizer.fc", "resizer.layer_norm"), *_attention("fusion_module.multihead_attn")]
    keys += both(*(f"input_proj.{level}.{part}" for level in range(4) for part in (0, 1)))
    keys += [*_transformer(model.config), *_pixel_decoder(), *both(*(f"controller.layers.{n}" for n in range(3)))]
    # A stage that changes neither size nor width has no layer beside its first block.
    names = {
        key: name for key, name in rename_keys(keys, REFERFORMER_KEYS).items() if name in state or "down" not in key
    }
    assert set(names.values()) == set(state)
    released = {"text_encoder.embeddings.position_ids": torch.arange(4)[None]}
    for key, name in names.items():
        for pattern, joined in JOINED:
            key = re.sub(pattern, joined, key)
        released[key] = torch.cat([released[key], state[name]]) if key in released else state[name]
        if key.startswith("bbox_embed."):
            released[f"transformer.decoder.{key}"] = state[name]
    return released
