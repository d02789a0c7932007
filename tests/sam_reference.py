"""Deterministic weights and inputs of the golden data of the methods on the original SAM."""

import importlib.util
import json

import numpy as np
import torch

from conftest import GOLDEN
from lavseg.models.sam_checkpoint import rename_keys

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


def fill(model, keys, rules):
    """Give every parameter the deterministic value of its official key, in the shape it has here."""
    det_array, shapes = det_fill().det_array, {key: value.shape for key, value in model.state_dict().items()}
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
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    norms = {name: None if p.grad is None else p.grad.norm().item() for name, p in parameters.items()}
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
