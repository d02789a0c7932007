"""What the published files of PVT v2, ResNet and Swin call their tensors, and what they are called here."""

from pathlib import Path

import torch
from transformers import PreTrainedConfig

from ...modeling.conversion import read_tensors, split_in_proj
from ..sam.convert_sam import rename_keys
from .configuration_pyramids import pvt_v2_b5_config, resnet50_config

# The first rule that fits a key wins; `{stage}` counts from 1 there and from 0 here.
_PVT_V2 = [
    (r"patch_embed{there}\.proj\.", r"encoder.layers.{here}.patch_embedding.proj."),
    (r"patch_embed{there}\.norm\.", r"encoder.layers.{here}.patch_embedding.layer_norm."),
    (r"block{there}\.(\d+)\.norm([12])\.", r"encoder.layers.{here}.blocks.\1.layer_norm_\2."),
    (r"block{there}\.(\d+)\.attn\.q\.", r"encoder.layers.{here}.blocks.\1.attention.query."),
    (r"block{there}\.(\d+)\.attn\.k\.", r"encoder.layers.{here}.blocks.\1.attention.key."),
    (r"block{there}\.(\d+)\.attn\.v\.", r"encoder.layers.{here}.blocks.\1.attention.value."),
    (r"block{there}\.(\d+)\.attn\.proj\.", r"encoder.layers.{here}.blocks.\1.attention.proj."),
    (r"block{there}\.(\d+)\.attn\.sr\.", r"encoder.layers.{here}.blocks.\1.attention.spatial_reduction."),
    (r"block{there}\.(\d+)\.attn\.norm\.", r"encoder.layers.{here}.blocks.\1.attention.layer_norm."),
    (r"block{there}\.(\d+)\.mlp\.fc([12])\.", r"encoder.layers.{here}.blocks.\1.mlp.dense\2."),
    (r"block{there}\.(\d+)\.mlp\.dwconv\.dwconv\.", r"encoder.layers.{here}.blocks.\1.mlp.dwconv.dwconv."),
    (r"norm{there}\.", r"encoder.layers.{here}.layer_norm."),
]
_RESNET_BLOCK = [
    (r"layer{there}\.(\d+)\.conv{part}\.", r"encoder.stages.{here}.layers.\1.layer.{index}.convolution."),
    (r"layer{there}\.(\d+)\.bn{part}\.", r"encoder.stages.{here}.layers.\1.layer.{index}.normalization."),
]
_RESNET_SHORTCUT = [
    (r"layer{there}\.(\d+)\.downsample\.0\.", r"encoder.stages.{here}.layers.\1.shortcut.convolution."),
    (r"layer{there}\.(\d+)\.downsample\.1\.", r"encoder.stages.{here}.layers.\1.shortcut.normalization."),
]
_SWIN = [
    (r"patch_embed\.proj\.", r"swin.embeddings.patch_embeddings.projection."),
    (r"patch_embed\.norm\.", r"swin.embeddings.norm."),
    (r"(layers\.\d+\.blocks\.\d+)\.norm1\.", r"swin.encoder.\1.layernorm_before."),
    (r"(layers\.\d+\.blocks\.\d+)\.norm2\.", r"swin.encoder.\1.layernorm_after."),
    (r"(layers\.\d+\.blocks\.\d+)\.attn\.([qkv])_proj\.", r"swin.encoder.\1.attention.\2_proj."),
    (r"(layers\.\d+\.blocks\.\d+)\.attn\.proj\.", r"swin.encoder.\1.attention.o_proj."),
    (
        r"(layers\.\d+\.blocks\.\d+)\.attn\.relative_position_bias_table$",
        r"swin.encoder.\1.attention.relative_position_bias.relative_position_bias_table",
    ),
    (r"(layers\.\d+\.(?:blocks\.\d+\.mlp|downsample))\.", r"swin.encoder.\1."),
]


def pvt_v2_keys(there: str = "", here: str = "") -> list[tuple[str, str]]:
    """Rules that rename the keys of a published PVT v2, whose keys and values `split_pvt_v2` took apart.

    Args:
        there: pattern of what stands before the keys in the file.
        here: what stands before them in the model.
    """
    numbers = [{"there": stage + 1, "here": stage} for stage in range(4)]
    return [(there + old.format(**number), here + new.format(**number)) for number in numbers for old, new in _PVT_V2]


def resnet_keys(there: str = "", here: str = "", stages: tuple[str, ...] = ("1", "2", "3", "4")) -> list:
    """Rules that rename the keys of torchvision's ResNet-50.

    Args:
        there: pattern of what stands before the keys in the file.
        here: what stands before them in the model.
        stages: how the file numbers its four stages.
    """
    stem = "embedder.embedder."
    rules = [(f"{there}conv1\\.", f"{here}{stem}convolution."), (f"{there}bn1\\.", f"{here}{stem}normalization.")]
    for stage, name in enumerate(stages):
        for part in (1, 2, 3):
            numbers = {"there": name, "here": stage, "part": part, "index": part - 1}
            rules += [(there + old.format(**numbers), here + new.format(**numbers)) for old, new in _RESNET_BLOCK]
        numbers = {"there": name, "here": stage}
        rules += [(there + old.format(**numbers), here + new.format(**numbers)) for old, new in _RESNET_SHORTCUT]
    return rules


def swin_keys(there: str = "", here: str = "") -> list[tuple[str, str]]:
    """Rules that rename the keys of Swin as its authors write it, with a norm for each map; `split_qkv` took its
    queries, keys and values apart.

    Args:
        there: pattern of what stands before the keys in the file.
        here: what stands before them in the model.
    """
    norms = [(f"{there}norm{stage}\\.", f"{here}hidden_states_norms.stage{stage + 1}.") for stage in range(4)]
    return [*((there + old, here + new) for old, new in _SWIN), *norms]


def split_qkv(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict in which each `attn.qkv`, queries, keys and values in one, has become `attn.q_proj`, `attn.k_proj`
    and `attn.v_proj`."""
    joined = {key: value for key, value in state.items() if ".attn.qkv." in key}
    split = split_in_proj({key.replace(".qkv.", ".in_proj."): value for key, value in joined.items()})
    return {key: value for key, value in state.items() if key not in joined} | split


def split_pvt_v2(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict in which each `attn.kv`, keys and values in one, has become `attn.k` and `attn.v`."""
    split = {}
    for key, value in state.items():
        parent, found, kind = key.rpartition(".attn.kv.")
        if found:
            split |= zip((f"{parent}.attn.{part}.{kind}" for part in "kv"), value.chunk(2), strict=True)
        else:
            split[key] = value
    return split


def read_published(argument: str, path: str | Path) -> tuple[PreTrainedConfig, dict[str, torch.Tensor]]:
    """Configuration and state dict of PVT-v2-B5 or ResNet-50 from a file with ImageNet weights, whose classifier is
    left out: `pvt_v2_b5.pth` of the authors, torchvision's `resnet50-*.pth`.

    Args:
        argument: name under which the file was given, for error messages.
        path: the file.

    Raises:
        ValueError: when it cannot be read, or a key is of neither network.
    """
    state = split_pvt_v2(read_tensors(path, argument))
    on_pvt = "patch_embed1.proj.weight" in state
    names = rename_keys((key for key in state if not key.startswith(("fc.", "head."))), _RULES[on_pvt])
    if unknown := [key for key, name in names.items() if name is None]:
        raise ValueError(f"{argument}: {path} is no PVT v2 and no ResNet, it has {unknown[0]}")
    config = pvt_v2_b5_config() if on_pvt else resnet50_config()
    renamed = {name: state[key] for key, name in names.items()}
    # Files from before PyTorch 0.4.1 do not count batches, which nothing reads.
    counts = (name.replace("running_mean", "num_batches_tracked") for name in renamed if "running_mean" in name)
    return config, dict.fromkeys(counts, torch.tensor(0)) | renamed


_RULES = {True: pvt_v2_keys(), False: resnet_keys()}
