"""Files as the released code of AVSegFormer writes them, of tiny models."""

import re

import torch

from lavseg.backbones.sam.convert_sam import rename_keys
from lavseg.models.avsegformer.convert_avsegformer import AVSEGFORMER_KEYS
from sam_reference import both

# Layers that are one there and several here: which, and the name of all.
JOINED = [
    (r"(head\.(?:query_generator|transformer)\..*_attn)\.[qkv]_proj\.(weight|bias)", r"\1.in_proj_\2"),
    (r"head\.fusion_block\.[kv]_proj\.", "head.fusion_block.kv_proj."),
    (r"(backbone\..*\.attn)\.[kv]\.", r"\1.kv."),
]
UNUSED = {"head.fpn.up1.1.weight": (4, 4), "head.attn_fc.4.weight": (1, 4), "backbone.layer3_2.0.conv1.weight": (4, 4)}


def _decoder_layer(prefix, ffn, bias):
    layers = [f"{prefix}.{a}_attn.{p}_proj" for a in ("self", "cross") for p in ("q", "k", "v", "out")]
    attention = both(*layers) if bias else [f"{layer}.weight" for layer in layers]
    return [*attention, *both(*(f"{prefix}.{name}" for name in (*ffn, "norm1", "norm2", "norm3")))]


def _pvt(depths):
    keys = []
    for stage, depth in enumerate(depths, 1):
        keys += both(f"patch_embed{stage}.proj", f"patch_embed{stage}.norm", f"norm{stage}")
        for block in range(depth):
            reduced = ("attn.sr", "attn.norm") if stage < 4 else ()
            parts = ("attn.q", "attn.k", "attn.v", "attn.proj", *reduced, "norm1", "norm2")
            keys += both(*(f"block{stage}.{block}.{part}" for part in (*parts, "mlp.fc1", "mlp.fc2")))
            keys += both(f"block{stage}.{block}.mlp.dwconv.dwconv")
    return [f"backbone.{key}" for key in keys]


def _head(layers):
    keys = ["level_embed", "learnable_query.weight", "query_generator.query.weight", "fc.4.weight"]
    keys += both("fc.0", "fc.2", *(f"mlp.layers.{i}" for i in range(3)))
    keys += both(*(f"{name}.{i}" for name in ("lateral_conv", "out_conv") for i in (0, 1)))
    keys += both(*(f"in_proj.{stage}.{i}" for stage in range(4) for i in (0, 1)))
    keys += [f"fusion_block.{part}_proj.weight" for part in "qkv"] + both("fusion_block.proj")
    deformable = ("sampling_offsets", "attention_weights", "value_proj", "output_proj")
    for layer in range(layers):
        encoder = f"transformer.encoder.layers.{layer}"
        keys += both(*(f"{encoder}.self_attn.{part}" for part in deformable))
        keys += both(*(f"{encoder}.{part}" for part in ("linear1", "linear2", "norm1", "norm2")))
        keys += _decoder_layer(f"query_generator.layers.{layer}", ("ffn.0", "ffn.2"), bias=False)
        keys += _decoder_layer(f"transformer.decoder.layers.{layer}", ("linear1", "linear2"), bias=True)
    return [f"head.{key}" for key in keys]


def released_file(model):
    """The state dict that the release would save of a tiny model on PVT v2, with some of what it never runs."""
    state = model.state_dict()
    sound = [f"vggish.{key}" for key in model.audio_encoder.state_dict()]
    keys = [*_pvt(model.config.vision_config.depths), *_head(layers=2), *both("audio_proj"), *sound]
    names = rename_keys(keys, AVSEGFORMER_KEYS)
    assert set(names.values()) == set(state)
    released = {}
    for key, name in names.items():
        for pattern, joined in JOINED:
            key = re.sub(pattern, joined, key)
        released[key] = torch.cat([released[key], state[name]]) if key in released else state[name]
    return released | {key: torch.zeros(shape) for key, shape in UNUSED.items()}
