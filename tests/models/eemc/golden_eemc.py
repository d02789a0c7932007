"""Models with the deterministic weights of the golden data of EEMC, and what the official code was given."""

import importlib.util
import json

import numpy as np
import torch
from tiny.configurations import tiny_config, tiny_text_config

from conftest import GOLDEN
from lavseg.backbones.mask2former.configuration_mask2former import swin_base_mask2former_config
from lavseg.backbones.vggish import VggishConfig
from lavseg.models.eemc import EemcConfig, EemcModel
from lavseg.models.eemc.convert_eemc import UNUSED_KEYS, state_from_release

FOLDER = GOLDEN / "eemc"


def det_fill():
    spec = importlib.util.spec_from_file_location("det_fill", FOLDER / "det_fill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def det_input(name, seed, shape):
    return torch.from_numpy(det_fill().det_input(name, seed, shape))


def config_of(size, **overrides):
    """That of the release, or with a Swin of two layers a stage; encoders of sound and text only have their widths."""
    host = swin_base_mask2former_config()
    if size == "tiny":
        host.backbone_config.depths = [2, 2, 2, 2]
    text = {**tiny_text_config(10), "hidden_size": 768}
    audio = tiny_config(VggishConfig, embedding_size=128, final_relu=False)
    return EemcConfig(mask2former_config=host, text_config=text, audio_config=audio, **overrides)


def released_state(size):
    """A checkpoint of the released code as it would be, by its own names."""
    shapes, fill = json.loads((FOLDER / f"keys_{size}.json").read_text()), det_fill()
    arrays = {key: fill.det_array(key, tuple(shape)) for key, shape in shapes.items() if not UNUSED_KEYS.search(key)}
    return {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in arrays.items()}


def make_model(size, **overrides):
    model = EemcModel(config_of(size, **overrides)).eval()
    missing, unexpected = model.load_state_dict(state_from_release(released_state(size)), strict=False)
    assert unexpected == []
    assert {key.split(".")[0] for key in missing} == {"audio_encoder", "text_encoder"}
    return model
