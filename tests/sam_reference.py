"""Deterministic weights and inputs of the golden data of the methods on the original SAM."""

import importlib.util
import json

import numpy as np
import torch

from conftest import GOLDEN
from lavseg.backbones.sam.convert_sam import rename_keys

TINY = {
    "vision_config": {
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "window_size": 14,
        "global_attn_indexes": [1, 3],
    },
    "prompt_encoder_config": {},
}


def tiny_sam_config(image_size):
    parts = {name: {**fields, "image_size": image_size} for name, fields in TINY.items()}
    return {"model_type": "sam", **parts}


def det_fill():
    spec = importlib.util.spec_from_file_location("det_fill", GOLDEN / "st_bava" / "det_fill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def det_input(name, seed, shape):
    return torch.from_numpy(det_fill().det_input(name, seed, shape))


def audio_input(seed, frames=5):
    """Embeddings `[1, T, 128]` as VGGish would give them."""
    return det_input("audio", seed, (frames, 1, 128)).clamp(min=0)[None, :, 0]


def label_input(seed, frames, size):
    coarse = det_input("label", seed, (frames, 1, size // 8, size // 8))
    return (torch.nn.functional.interpolate(coarse, scale_factor=8, mode="nearest") > 0.3)[None, :, 0].float()


def reference_keys(file, num_layers=None):
    """Keys of the official checkpoint; blocks beyond those in the file are called as its last one."""
    keys = list(json.loads((GOLDEN / file).read_text()))
    for layer in range(5, num_layers or 0):
        keys += [key.replace("layers.4.", f"layers.{layer}.", 1) for key in keys if key.startswith("layers.4.")]
    return keys


def with_joined_projections(tensors, name_of_all="in_proj_"):
    """Tensors of a model by name, those of queries, keys and values of ST-BAVA's blocks as one, as in the release."""
    joined = {}
    for name, value in tensors.items():
        parent, _, projection = name.rpartition(".")[0].rpartition(".")
        if name.startswith("fusion.layers.") and projection in ("q_proj", "k_proj", "v_proj"):
            name = f"{parent}.{name_of_all}{name.rpartition('.')[2]}"
            value = value if joined.get(name) is None else torch.cat([joined[name], value])
        joined[name] = value
    return joined


def shapes_of(model):
    return {name: value.shape for name, value in with_joined_projections(model.state_dict()).items()}


def fill(model, keys, rules):
    """Give every parameter the deterministic value of its official key, in the shape it has here."""
    det_array, shapes = det_fill().det_array, shapes_of(model)
    names = rename_keys(keys, rules)
    state = {
        name: torch.from_numpy(np.ascontiguousarray(det_array(key, shapes[name])))
        for key, name in names.items()
        if name in shapes
    }
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    return model.eval(), missing


def assert_near(found, expected, atol):
    torch.testing.assert_close(found, torch.from_numpy(expected), atol=atol, rtol=0)


def check_gradients(model, golden, rules, groups, relative=2e-3):
    """Gradient norms of groups and of single tensors, and which tensors have none.

    Norms that are zero in exact arithmetic are compared with a floor of 1e-3.
    """
    gradients = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    joined = with_joined_projections(gradients)
    norms = {name: None if gradient is None else gradient.norm().item() for name, gradient in joined.items()}
    for group, expected in golden["group_grad_norm"].items():
        squares = [norm**2 for name, norm in norms.items() if norm is not None and name.startswith(groups[group])]
        assert abs(sum(squares) ** 0.5 - expected) <= relative * expected, group
    for key, expected in golden.get("per_tensor", {}).items():
        found = norms[rename_keys([key], rules)[key]]
        if expected is None:
            assert found is None, key
        else:
            assert abs(found - expected) <= relative * max(expected, 1e-3), key
    without = [rename_keys([key], rules)[key] for key in golden.get("no_grad", [])]
    assert all(norms[name] is None for name in without if name in norms)
    if "no_grad" in golden:
        assert {name for name, norm in norms.items() if norm is None} <= set(without)


def both(*names):
    return [f"{name}.{part}" for name in names for part in ("weight", "bias")]


def released_sam_keys(blocks):
    """Keys of the image encoder with adapters and of the mask decoder, as both releases have them."""
    encoder, decoder = "image_encoder", "mask_decoder"
    attentions = ("self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token")
    projections = ("q_proj", "k_proj", "v_proj", "out_proj")
    heads = [f"output_hypernetworks_mlps.{index}" for index in range(4)] + ["iou_prediction_head"]
    layers = [f"{decoder}.transformer.layers.{index}" for index in range(2)]
    parts = [f"{attention}.{projection}" for attention in attentions for projection in projections]
    parts += [f"norm{index}" for index in (1, 2, 3, 4)] + ["mlp.lin1", "mlp.lin2"]
    return [
        f"{encoder}.pos_embed",
        *both(f"{encoder}.patch_embed.proj", f"{encoder}.neck.1", f"{encoder}.neck.3"),
        f"{encoder}.neck.0.weight",
        f"{encoder}.neck.2.weight",
        *(f"{encoder}.blocks.{i}.attn.rel_pos_{axis}" for i in range(blocks) for axis in "hw"),
        *both(
            *(
                f"{encoder}.blocks.{index}.{part}"
                for index in range(blocks)
                for part in ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.lin1", "mlp.lin2")
            ),
            *(f"{encoder}.prompt_generator.lightweight_mlp_{index}.0" for index in range(blocks)),
            f"{encoder}.prompt_generator.shared_mlp",
            *(f"{layer}.{part}" for layer in layers for part in parts),
            *(f"{decoder}.transformer.final_attn_token_to_image.{projection}" for projection in projections),
            f"{decoder}.transformer.norm_final_attn",
            *(f"{decoder}.output_upscaling.{index}" for index in (0, 1, 3)),
            *(f"{decoder}.{head}.layers.{index}" for head in heads for index in range(3)),
        ),
        f"{decoder}.iou_token.weight",
        f"{decoder}.mask_tokens.weight",
        "pe_layer.positional_encoding_gaussian_matrix",
    ]


def released_checkpoint(model, keys, rules, seed=0):
    """A checkpoint with the released `keys` whose tensors fit `model`, filled with noise."""
    generator = torch.Generator().manual_seed(seed)
    shapes = shapes_of(model)
    return {key: torch.randn(shapes[name], generator=generator) for key, name in rename_keys(keys, rules).items()}
