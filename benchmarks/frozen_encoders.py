"""What frozen encoders of sound and text take of a step of training: the most that keeping their results could save.

    python benchmarks/frozen_encoders.py
    python benchmarks/frozen_encoders.py --only tpavi avsegformer

Prints a JSON line for each method: billions of operations (a product and its sum are two) of forward and backward on
one clip with one sentence, `step`, of the encoders of `sound` and `text` among them, and the `share` of both. They are
counted and not timed, so the machine does not matter. Methods stand on the smallest image encoder they were published
with, where the share is highest; ST-BAVA on image embeddings that were kept (`feature_cache`), whose encoder is not
run. SimToken and SAMA-AVS are left out: they were published on image encoders far too large to be run for this.
"""

import argparse
import json

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import ResNetConfig

from lavseg.auto import METHODS
from lavseg.backbones.sam.configuration_sam import vit_sam_config
from lavseg.backbones.sam2.configuration_sam2 import hiera_sam2_config
from lavseg.data import build_tokenizer

SIZE, RATE = 224, 16000
SENTENCE = "the brown dog that barks after the piano has begun to play"
CLASSES = {config.model_type: (config, model, processor) for config, model, processor in METHODS}


def published():
    """Fields of the configurations."""
    small = {"vision_config": ResNetConfig()}
    return {
        "aural_sam2": {"sam2_config": hiera_sam2_config("tiny"), "behavior": "release"},
        "avsegformer": small,
        "eemc": {},
        "gavs": {},
        "referformer": {"use_audio": True},
        "sam2_love": {"sam2_config": hiera_sam2_config("tiny")},
        "st_bava": {"use_adapters": False, "sam_config": vit_sam_config("base")},
        "stepping_stones": {},
        "tpavi": small,
    }


def make_inputs(processor, frames):
    """One clip of random frames and sound with a sentence, and labels."""
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (frames, SIZE, SIZE, 3), np.uint8)
    sound = rng.uniform(-0.5, 0.5, (2, frames * RATE)).astype(np.float32)
    text = {"text": [SENTENCE]} if processor.needs_text else {}
    labels = torch.zeros(1, 1, frames, SIZE, SIZE, dtype=torch.uint8)
    labels[..., : SIZE // 2, : SIZE // 2] = 1
    return {**processor(video, sound, sampling_rate=RATE, **text), "labels": labels}


def count(method, config, frames):
    """Billions of operations of a step, and the share of the frozen encoders."""
    torch.manual_seed(0)
    _, model_class, processor_class = CLASSES[method]
    model = model_class(config).train()
    processor = processor_class.from_config(config, *([build_tokenizer()] if model.reads_text else []))
    inputs = make_inputs(processor, frames)
    if model.frame_encoder is not None:
        prompts = config.sam_config.prompt_encoder_config
        edge = prompts.image_size // prompts.patch_size
        del inputs["pixel_values"]
        inputs["image_embeddings"] = torch.randn(1, frames, prompts.hidden_size, edge, edge)
    with FlopCounterMode(display=False) as counter:
        model(**inputs).loss.backward()
    names = {id(module): name for name, module in model.named_modules()}
    found = {"step": counter.get_total_flops()}
    for name, part in (("sound", "audio"), ("text", "text")):
        encoder = model.backbones().get(part)
        frozen = encoder is not None and not any(value.requires_grad for value in encoder.parameters())
        path = f"{model_class.__name__}.{names[id(encoder)]}" if frozen else ""
        found[name] = sum(counter.get_flop_counts().get(path, {}).values())
    share = (found["sound"] + found["text"]) / found["step"]
    return {**{name: round(value / 1e9, 6) for name, value in found.items()}, "share": round(share, 4)}


def main():
    configs = published()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=configs, default=list(configs), help="methods")
    parser.add_argument("--frames", type=int, default=2, help="of the clip, one a second")
    given = parser.parse_args()
    for method in given.only:
        config = CLASSES[method][0](**configs[method])
        found = count(method, config, given.frames)
        print(json.dumps({"method": method, "frames": given.frames, **found}, allow_nan=False), flush=True)


if __name__ == "__main__":
    main()
