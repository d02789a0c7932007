"""What Stepping-Stones costs beside its released code's order of operations: all but VGGish.

    python benchmarks/stepping_stones.py
    python benchmarks/stepping_stones.py --frames 5 --runs 5

Prints one JSON line. Weights and inputs are random, one clip of the first stage, Swin-B at 384, no gradient, one
thread. `model` is seconds of this package, `released_model` those of `released_stepping_stones.py` with eager
attention, which the release has, `model_of_released` the ratio; with `_mb` at the end they are of memory. How both are
taken is in `arms.py`. That both compute the same is tested in `tests/benchmarks`.
"""

import torch
import torch.nn.functional as F
from arms import beside_released, print_measured
from released_stepping_stones import released_scores

from lavseg import SteppingStonesConfig, SteppingStonesModel, VggishConfig

SIZE = (224, 224)


@torch.inference_mode()
def measure(frames: int, runs: int, seed: int) -> dict[str, float]:
    """What each arm costs, and the ratios."""
    torch.manual_seed(seed)
    # Sounds are given as embeddings: of their encoder only the width matters.
    config = SteppingStonesConfig(audio_config=VggishConfig(conv_channels=[8] * 6, hidden_size=8, final_relu=False))
    model = SteppingStonesModel(config).eval()
    edge = config.frame_size
    clip, heard = torch.randn(frames, 3, edge, edge), torch.randn(frames, config.audio_config.embedding_size)

    def ours() -> torch.Tensor:
        model.set_attn_implementation("sdpa")
        scores = model(clip[None], audio_embeddings=heard[None]).class_scores[0].transpose(0, 1)
        return F.interpolate(scores, SIZE, mode="bilinear")

    def released() -> torch.Tensor:
        model.set_attn_implementation("eager")
        return released_scores(model, clip, heard, SIZE)

    return beside_released({"model": (ours, released)}, runs)


if __name__ == "__main__":
    print_measured(measure, __doc__, frames=5, runs=3, seed=0)
