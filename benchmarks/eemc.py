"""What EEMC costs beside its released code's order of operations: all but VGGish and the text encoder.

    python benchmarks/eemc.py
    python benchmarks/eemc.py --frames 10 --sentences 4 --runs 3

Prints one JSON line. Weights and inputs are random, one clip, Swin-B at 384, no gradient, one thread. `model` is
seconds of this package for all sentences, `released_model` those of `released_eemc.py`, `model_of_released` the ratio;
with `_mb` at the end they are of memory. How both are taken is in `arms.py`. That both compute the same is tested in
`tests/benchmarks`.
"""

import torch
from arms import beside_released, print_measured
from released_eemc import released_masks

from lavseg import EemcConfig, EemcModel, VggishConfig

SECONDS, WORDS, SIZE = 10, 25, (256, 256)


@torch.inference_mode()
def measure(frames: int, sentences: int, runs: int, seed: int) -> dict[str, float]:
    """What each arm costs, and the ratios."""
    torch.manual_seed(seed)
    # Sounds and words are given as embeddings: of their encoders only the widths matter.
    audio = VggishConfig(conv_channels=[8] * 6, hidden_size=8, final_relu=False)
    text = {"model_type": "roberta", "vocab_size": 8, "num_hidden_layers": 1}
    config = EemcConfig(audio_config=audio, text_config=text)
    model = EemcModel(config).eval()
    edge = config.frame_size
    clip = torch.randn(frames, 3, edge, edge)
    heard = torch.randn(SECONDS, audio.embedding_size)
    read = torch.randn(sentences, WORDS, config.text_config.hidden_size)

    def ours() -> torch.Tensor:
        masks = model.segment([model.embed_frames(clip)], [heard], read[None])[0]
        return model.scale_masks(masks.flatten(0, 1), SIZE)

    return beside_released({"model": (ours, lambda: released_masks(model, clip, heard, read, SIZE))}, runs)


if __name__ == "__main__":
    print_measured(measure, __doc__, frames=2, sentences=1, runs=3, seed=0)
