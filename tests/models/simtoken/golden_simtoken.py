"""Models with the deterministic weights of the golden data of SimToken, its tokenizer, and what the code was given."""

import importlib.util
import json
from functools import cache

import numpy as np
import torch
from tiny.configurations import tiny_config
from transformers import LlamaTokenizer, SamConfig

from conftest import GOLDEN
from lavseg.backbones.vggish import VggishConfig
from lavseg.models.simtoken import SimTokenConfig, SimTokenModel
from lavseg.models.simtoken.convert_simtoken import state_from_release

FOLDER = GOLDEN / "simtoken"


@cache
def det_fill():
    spec = importlib.util.spec_from_file_location("det_fill_simtoken", FOLDER / "det_fill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def det_input(name, seed, shape):
    return torch.from_numpy(det_fill().det_input(name, seed, shape))


def det_uniform(name, seed, shape):
    return torch.from_numpy(det_fill().det_uniform(name, seed, shape))


def config_of(**overrides):
    """That of the golden data; the encoder of sound only has its width."""
    tiny = json.loads((FOLDER / "config_tiny.json").read_text())
    return SimTokenConfig(
        language_config={
            "model_type": "llama",
            "vocab_size": tiny["vocab"] + 1,
            "hidden_size": tiny["hidden"],
            "num_hidden_layers": tiny["layers"],
            "num_attention_heads": tiny["heads"],
            "intermediate_size": tiny["inter"],
            "rms_norm_eps": tiny["rms_eps"],
        },
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": tiny["clip_hidden"],
            "num_hidden_layers": tiny["clip_layers"],
            "num_attention_heads": tiny["clip_heads"],
            "intermediate_size": tiny["clip_inter"],
            "image_size": tiny["clip_image"],
            "patch_size": tiny["clip_patch"],
        },
        sam_config=sam_config(tiny),
        audio_config=tiny_config(VggishConfig, embedding_size=128, final_relu=False),
        **overrides,
    )


def sam_config(tiny):
    width, image = tiny["sam_out"], tiny["sam_image"]
    return SamConfig(
        vision_config={
            "hidden_size": tiny["sam_hidden"],
            "num_hidden_layers": tiny["sam_layers"],
            "num_attention_heads": tiny["sam_heads"],
            "window_size": tiny["sam_window"],
            "global_attn_indexes": tiny["sam_global"],
            "output_channels": width,
            "num_pos_feats": width // 2,
            "image_size": image,
        },
        prompt_encoder_config={
            "hidden_size": width,
            "image_size": image,
            "mask_input_channels": tiny["sam_maskin"],
        },
        mask_decoder_config={"hidden_size": width, "mlp_dim": tiny["sam_mlp"], "iou_head_hidden_dim": width},
    )


def released_state(size="tiny"):
    """A checkpoint of the released code as it would be, by its own names."""
    shapes, fill = json.loads((FOLDER / f"keys_{size}.json").read_text()), det_fill()
    arrays = {key: fill.det_array(key, tuple(shape)) for key, shape in shapes.items()}
    return {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in arrays.items()}


def make_model(**overrides):
    model = SimTokenModel(config_of(**overrides)).eval()
    missing, unexpected = model.load_state_dict(state_from_release(released_state()), strict=False)
    assert unexpected == []
    assert {key.split(".")[0] for key in missing} == {"audio_encoder"}
    return model


def golden_tokenizer():
    """The tokenizer of the golden data, a sentencepiece model, whose merges are those of its scores."""
    pieces = list(_pieces((FOLDER / "tiny_tokenizer.model").read_bytes()))
    vocab = {piece: index for index, piece in enumerate(pieces)}
    pairs = [
        (vocab[whole], (whole[:cut], whole[cut:]))
        for whole in pieces
        for cut in range(1, len(whole))
        if whole[:cut] in vocab and whole[cut:] in vocab
    ]
    return LlamaTokenizer(vocab=vocab, merges=[pair for _, pair in sorted(pairs)])


def _pieces(data):
    """The words of a sentencepiece model: field 1 of the file, of which each is field 1."""
    place = 0
    while place < len(data):
        key, place = _number(data, place)
        size, place = _number(data, place) if key & 7 == 2 else (0, _number(data, place)[1])
        if key == 10:
            message = data[place : place + size]
            length, start = _number(message, 1)
            yield message[start : start + length].decode()
        place += size


def _number(data, place):
    value = shift = 0
    while True:
        byte = data[place]
        value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
        if byte < 128:
            return value, place


def inputs_of(seed, frames, rows, size):
    """Frames for CLIP and SAM, embeddings of sound, and truth of one sample."""
    height, width = size
    return {
        "clip_pixel_values": det_input("images_clip", seed, (frames, 3, 224, 224)),
        "pixel_values": det_input("sam_pixels", seed, (frames, 3, 256, 256)),
        "audio": det_input("audio", seed, (rows, 128)),
        "labels": cells(det_input("labels", seed, (frames, height // 20, width // 20)) > 0.5, 20),
    }


def cells(values, edge):
    return values.repeat_interleave(edge, -2).repeat_interleave(edge, -1)
