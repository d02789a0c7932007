"""The deterministic weights and inputs that the golden files of AuralSAM2 were made with."""

import json
import zlib
from functools import lru_cache
from math import prod

import numpy as np
import torch
from transformers import Sam2VideoModel
from transformers.modeling_outputs import BaseModelOutput

from conftest import GOLDEN
from lavseg.backbones.sam2.configuration_sam2 import hiera_sam2_config
from lavseg.backbones.sam2.convert_sam2 import sam2_state_from_original
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model
from lavseg.models.aural_sam2.convert_aural_sam2 import fuser_state_from_release

FOLDER = GOLDEN / "auralsam2"


def det_input(name, seed, *shape):
    rng = np.random.default_rng([zlib.crc32(name.encode()), int(seed)])
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


def det_weight(key, shape):
    """Weights by key and shape; key with its prefix, such as `aural_fuser.`."""
    shape = tuple(shape)
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    noise = torch.from_numpy(np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape, dtype=np.float32))
    if key.endswith("running_mean"):
        return 0.1 * noise
    if key.endswith("running_var"):
        rng = np.random.default_rng(zlib.crc32((key + "#var").encode()))
        return torch.from_numpy((0.5 + rng.random(shape, dtype=np.float32)).astype(np.float32))
    if len(shape) <= 1:
        return 1 + 0.02 * noise if key.endswith(".weight") else 0.02 * noise
    return noise / np.float32(np.sqrt(prod(shape[1:])))


def det_state(keys_file, prefix, only=""):
    """A state dict under the original names from `keys_*.json`."""
    shapes = json.loads((FOLDER / keys_file).read_text())
    return {key: det_weight(prefix + key, shape) for key, shape in shapes.items() if key.startswith(only)}


def load_fuser(fuser, variant):
    """Fill an [`AuralSam2Fuser`] with the golden weights of `avs` or `ref`."""
    state = fuser_state_from_release(det_state(f"keys_aural_fuser_{variant}.json", "aural_fuser."))
    fuser.load_state_dict({k.removeprefix("fuser."): v for k, v in state.items() if k.startswith("fuser.")})
    return fuser.eval()


def load_sam2(sam2: Sam2VideoModel, size):
    """Fill a host with the golden weights of Hiera `t` or `b+`."""
    state = sam2_state_from_original(det_state(f"keys_sam2_hiera_{size}.json", "v_model."))
    missing, unexpected = sam2.load_state_dict(state, strict=False)
    assert not unexpected and all("position_ids" in key or "inv_freq" in key for key in missing), (missing, unexpected)
    return sam2.eval()


class GivenText(torch.nn.Module):
    """Stands for the text encoder: the golden files start from its states."""

    def __init__(self, states):
        super().__init__()
        self.states = states

    def forward(self, input_ids, attention_mask):
        return BaseModelOutput(last_hidden_state=self.states)


@lru_cache(maxsize=1)
def golden_model(variant, size, image_size):
    """The model of the golden files: `avs` or `ref` on Hiera `t` or `b+`."""
    config = AuralSam2Config(
        sam2_config=hiera_sam2_config({"t": "tiny", "b+": "base_plus"}[size], image_size),
        text_config={"model_type": "roberta", "num_hidden_layers": 1, "vocab_size": 10},
        use_text=variant == "ref",
        behavior="release",
        contrastive_loss="audiocon_release",
        contrastive_samples=192 if variant == "ref" else 384,
    )
    model = AuralSam2Model(config)
    load_sam2(model.sam2, size)
    load_fuser(model.fuser, variant)
    state = det_state(f"keys_aural_fuser_{variant}.json", "aural_fuser.", "vgg.")
    model.audio_encoder.load_state_dict({key.removeprefix("vgg."): value for key, value in state.items()})
    return model.eval()


def golden_inputs(model, num_frames, seed):
    size = model.config.sam2_config.image_size
    inputs = {
        "pixel_values": det_input("frames", seed, num_frames, 3, size, size)[None],
        "input_features": det_input("spect", seed, num_frames, 2, 96, 64)[None],
    }
    if model.config.use_text:
        model.text_encoder = GivenText(det_input("text", seed, 1, 25, 768))
        inputs["input_ids"] = torch.zeros(1, 25, dtype=torch.long)
    return inputs
