"""Time of a training step of ST-BAVA's first stage with SAM's image embeddings from disk and with the encoder run anew.

Run `python benchmarks/feature_cache.py`; it prints one JSON line and fails if the two losses differ.
"""

import json
import tempfile
import time

import numpy as np
import torch
from transformers import SamConfig

from lavseg.backbones.vggish import VggishConfig
from lavseg.models.st_bava import StBavaConfig, StBavaModel, StBavaProcessor
from lavseg.training.feature_cache import FeatureCache

FRAMES, SIZE, LAYERS, WIDTH, REPEATS, RATE = 5, 256, 8, 192, 5, 16000


def build():
    """ST-BAVA without adapters on an image encoder of eight blocks at 256x256."""
    torch.manual_seed(0)
    encoder = {"image_size": SIZE, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2}
    # As in the published model the encoder is most of the work.
    decoder = {"hidden_size": 32, "num_attention_heads": 4, "mlp_dim": 64, "iou_head_hidden_dim": 32}
    sam = SamConfig(
        vision_config={**encoder, "mlp_dim": 4 * WIDTH, "window_size": 3, "output_channels": 32, "num_pos_feats": 16},
        prompt_encoder_config={"image_size": SIZE, "hidden_size": 32},
        mask_decoder_config=decoder,
    )
    sizes = {"num_fusion_layers": 2, "num_attention_heads": 4}
    audio = VggishConfig(conv_channels=(8, 16, 16, 16, 32, 32), hidden_size=64, embedding_size=32)
    config = StBavaConfig(sam_config=sam, audio_config=audio, use_adapters=False, attention_dropout=0.0, **sizes)
    return StBavaModel(config).train(), StBavaProcessor.from_config(config)


def step(model, processor, clip, sound, labels):
    """Prepare one clip, learn from it, and give the loss."""
    model.zero_grad()
    loss = model(**processor(clip, sound, sampling_rate=RATE), labels=labels).loss
    loss.backward()
    return loss.item()


def seconds(*arguments):
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        loss = step(*arguments)
        times.append(time.perf_counter() - start)
    return min(times), loss


def main():
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, (FRAMES, 224, 224, 3), np.uint8)
    sound = rng.uniform(-0.5, 0.5, FRAMES * RATE).astype(np.float32)
    model, processor = build()
    arguments = clip, sound, torch.ones(1, FRAMES, 224, 224)
    with tempfile.TemporaryDirectory() as folder:
        cache = FeatureCache(folder, model, processor)
        start = time.perf_counter()
        cache.fill(model, processor, [clip])
        filling = time.perf_counter() - start
        cached, loss = seconds(model, processor.with_image_inputs(cache.image_inputs), *arguments)
    encoded, expected = seconds(model, processor, *arguments)
    if abs(loss - expected) > 1e-4 * abs(expected):
        raise SystemExit(f"the losses differ: {loss} from the cache, {expected} from the encoder")
    report = {
        "frames": FRAMES,
        "size": SIZE,
        "encoder_parameters": sum(parameter.numel() for parameter in model.sam.vision_encoder.parameters()),
        "threads": torch.get_num_threads(),
        "filling_s": round(filling, 3),
        "encoded_s": round(encoded, 3),
        "cached_s": round(cached, 3),
        "ratio": round(encoded / cached, 1),
    }
    print(json.dumps(report, allow_nan=False))


if __name__ == "__main__":
    main()
