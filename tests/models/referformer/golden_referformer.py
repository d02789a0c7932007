"""Models with the deterministic weights of the golden data of ReferFormer, and the inputs of its cases."""

import importlib.util
import json
import re
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from conftest import GOLDEN
from lavseg.backbones.sam.convert_sam import rename_keys
from lavseg.models.referformer import ReferFormerConfig, ReferFormerModel
from lavseg.models.referformer.convert_referformer import REFERFORMER_KEYS, released_vision_config, split_released

FOLDER = GOLDEN / "referformer"
FILES = {"resnet50": "res50", "resnet101": "res101", "swin_t_p4w7": "swin_t", "swin_l_p4w7": "swin_l"}


@cache
def det_fill():
    spec = importlib.util.spec_from_file_location("referformer_det_fill", FOLDER / "det_fill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def det_input(name, seed, shape):
    return torch.from_numpy(det_fill().det_input(name, seed, shape))


def golden_case(file):
    return json.loads(file.with_suffix(".json").read_text())


def released_shapes(backbone, text_config):
    """Shapes by official key, with a smaller text encoder."""
    shapes = json.loads((FOLDER / f"keys_{FILES.get(backbone, backbone)}.json").read_text())["keys"]
    sizes = {50265: "vocab_size", 514: "max_position_embeddings", 3072: "intermediate_size"}
    found = {}
    for key, shape in shapes.items():
        layer = re.match(r"text_encoder\.encoder\.layer\.(\d+)\.", key)
        if layer and int(layer[1]) >= text_config["num_hidden_layers"]:
            continue
        small = key.startswith("text_encoder.")
        found[key] = [text_config[sizes[edge]] if small and edge in sizes else edge for edge in shape]
    return found


def targets_of(sizes, frames, seed):
    """Masks `[T, h, w]` of each clip."""
    each = enumerate(sizes)
    return [torch.from_numpy(det_fill().det_mask(f"target{index}", seed, (frames, *size))) for index, size in each]


@cache
def _filled(key, shape):
    return torch.from_numpy(np.asarray(det_fill().weight(key, shape)))


def released_state(backbone, text_config):
    shapes = released_shapes(backbone, text_config)
    return {key: _filled(key, tuple(shape)) for key, shape in shapes.items() if "relative_position_index" not in key}


def own_names(backbone, text_config):
    """For every official key the names here of what it became."""
    names = {}
    for key, shape in released_shapes(backbone, text_config).items():
        if key.startswith("transformer.decoder.bbox_embed."):
            continue  # the box heads, a second time
        given = {key: torch.empty(shape, device="meta")}
        names[key] = list(rename_keys(split_released(given), REFERFORMER_KEYS).values())
    return names


def make_model(case, **fields):
    """The model of a case, with fields of its configuration that differ."""
    state = split_released(released_state(case["backbone"], case["text_config"]))
    text = {"model_type": "roberta", **case["text_config"]}
    vision = {"drop_path_rate": 0.0} if "swin" in case["backbone"] and "dropout" in fields else {}
    vision = {**released_vision_config(state).to_dict(), **vision}
    config = ReferFormerConfig(vision_config=vision, text_config=text, **fields)
    names = rename_keys(state, REFERFORMER_KEYS)
    own = {names[key]: value for key, value in state.items()}
    model, report = ReferFormerModel.from_pretrained(None, config=config, state_dict=own, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    return model.eval()


def make_inputs(case):
    """What `forward` takes for a case: each sentence about a clip of its own."""
    clips = [
        det_input(f"imgs{index}", case["seed"], (case["frames"], 3, *size)) for index, size in enumerate(case["sizes"])
    ]
    inputs = {}
    if case.get("pad_to_32"):
        height, width = (-max(edges) // 32 * -32 for edges in zip(*case["sizes"], strict=True))
        inputs["pixel_mask"] = torch.zeros(len(clips), height, width, dtype=torch.bool)
        for mask, size in zip(inputs["pixel_mask"], case["sizes"], strict=True):
            mask[: size[0], : size[1]] = True
        clips = [F.pad(clip, (0, width - clip.shape[-1], 0, height - clip.shape[-2])) for clip in clips]
    frames = torch.stack(clips)
    if case.get("valid_indices"):
        frames = frames[torch.arange(len(frames)), case["valid_indices"]][:, None]
    longest = max(map(len, case["input_ids"]))
    ids = torch.tensor([[*tokens, *[1] * (longest - len(tokens))] for tokens in case["input_ids"]])
    mask = torch.tensor([[1] * len(tokens) + [0] * (longest - len(tokens)) for tokens in case["input_ids"]])
    axes = (len(clips), -1, longest)
    return {"pixel_values": frames, **inputs, "input_ids": ids.view(axes), "attention_mask": mask.view(axes)}
