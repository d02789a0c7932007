"""Models with the deterministic weights of the golden data of Stepping-Stones, and what the official code was given."""

import json
import re

import numpy as np
import torch
from tiny.configurations import tiny_config

from conftest import GOLDEN
from lavseg.backbones.mask2former.configuration_mask2former import swin_base_mask2former_config
from lavseg.backbones.vggish import VggishConfig
from lavseg.models.stepping_stones import SteppingStonesConfig
from lavseg.models.stepping_stones.convert_stepping_stones import released_class, state_from_release
from pyramid_reference import det_fill, det_input

FOLDER = GOLDEN / "stepping_stones"
CLASSES = {"avs": 2, "avss": 71}
# Not filled: fixed by the architecture, and no weight.
NOT_FILLED = re.compile(r"relative_position_index$|criterion\.empty_weight$")


def config_of(kind, size, **fields):
    """That of the release, or with a Swin of two layers a stage; the encoder of sound only has its width."""
    host = swin_base_mask2former_config()
    if size == "tiny":
        host.backbone_config.depths = [2, 2, 2, 2]
    audio = tiny_config(VggishConfig, embedding_size=128, final_relu=False)
    return SteppingStonesConfig(mask2former_config=host, audio_config=audio, num_labels=CLASSES[kind], **fields)


def released_shapes(kind, size):
    shapes = json.loads((FOLDER / f"keys_{kind}_{size}.json").read_text())
    return {key: tuple(shape) for key, shape in shapes.items()}


def released_state(kind, size):
    """A checkpoint of the released code as it would be, by its own names."""
    fill = det_fill()
    arrays = {
        key: fill.det_array(key, s) for key, s in released_shapes(kind, size).items() if not NOT_FILLED.search(key)
    }
    return {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in arrays.items()}


def make_model(kind, size, **fields):
    config = config_of(kind, size, **fields)
    state = state_from_release(released_state(kind, size), config)
    if not config.encoder_adapters:
        state = {key: value for key, value in state.items() if "swin" not in key or ".adapter." not in key}
    model = released_class(config)(config).eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert unexpected == []
    assert {key.split(".")[0] for key in missing} == {"audio_encoder"}
    return model


def cells(values, size):
    return values.repeat_interleave(size, -1).repeat_interleave(size, -2)


def class_maps(kind, seed, frames, silent_last=False):
    """Class ids `[T, 224, 224]`."""
    if kind == "avs":
        maps = (det_input("labels", seed, (frames, 8, 8)) > 0.5).long()
        if silent_last:
            maps[-1] = 0
        return cells(maps, 28)
    values = det_input("labels", seed, (frames, 4, 4)).double()
    return cells(torch.where(values > 0.3, 1 + (values.abs() * 1000).floor().long() % 70, 0), 56)


def prior_masks(seed, frames, soft):
    """Masks of a first stage `[T, 224, 224]`, as read from files of 8 bits."""
    values = det_input("stage1", seed, (frames, 7, 7)).double()
    masks = (255 / (1 + torch.exp(-2 * values))).round() if soft else 255 * (values > 0)
    return cells(masks.float() / 255, 32)
