"""Models with the deterministic weights of the golden data, and the inputs of its cases."""

import json

import torch

from conftest import GOLDEN
from lavseg.backbones.sam.convert_sam import rename_keys
from lavseg.models.avsegformer.convert_avsegformer import (
    AVSEGFORMER_KEYS,
    released_config,
    released_model,
    split_released,
)
from pyramid_reference import det_input, released_state

# Real frames among the ten of a clip of the semantic subset.
REAL_FRAMES = {"v1s": 5, "v1m": 5, "v2": 10}
UNUSED = ("head.fpn.", "head.attn_fc.", "backbone.layer3_2.", "backbone.layer4_2.")


def golden_case(file):
    case = json.loads(file.with_suffix(".json").read_text())
    case["length"] = 10 if case["variant"] == "avss" else 5
    return case


def keys_file(case):
    variant = "avss" if case["variant"] == "avss" else "bin"
    return f"avsegformer/keys_{case['backbone']}_{variant}.json"


def make_model(case):
    """The model of a case, without the parts that it leaves out."""
    left_out, head = [*UNUSED], case.get("head", {})
    if not head.get("use_learnable_queries", True):
        left_out.append("head.learnable_query.")
    if "fusion_block" in head and head["fusion_block"] is None:
        left_out.append("head.fusion_block.")
    state = split_released(released_state(keys_file(case), lambda key: not key.startswith(tuple(left_out))))
    model = released_model(released_config(state)).eval()
    names = rename_keys(state, AVSEGFORMER_KEYS)
    model.load_state_dict({names[key]: value for key, value in state.items()})
    return model


def own_names(case):
    """For every official key the names here of what it became."""
    shapes = json.loads((GOLDEN / keys_file(case)).read_text())
    names = {}
    for key, shape in shapes.items():
        parts = split_released({key: torch.empty(shape, device="meta")})
        names[key] = list(rename_keys(parts, AVSEGFORMER_KEYS).values())
    return names


def make_inputs(case):
    """Frames `[B, T, 3, H, W]`, sounds and which of them are real; in the semantic subset the others are zero."""
    count, axes = case["clips"] * case["length"], (-1, case["length"])
    frames = det_input("imgs", case["seed"], (count, 3, *case["hw"])).unflatten(0, axes)
    sounds = det_input("spect", case["seed"], (count, 1, 96, 64)).unflatten(0, axes)
    real = torch.ones(case["clips"], case["length"], dtype=torch.bool)
    for clip, name in enumerate(case["sets"] or []):
        real[clip, REAL_FRAMES[name] :] = False
    there = real[..., None, None, None]
    return frames * case.get("input_scale", 1.0) * there, sounds * there, real
