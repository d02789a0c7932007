"""What ReferFormer costs beside its released code's order of operations.

    python benchmarks/referformer.py
    python benchmarks/referformer.py --frames 5 --sentences 6 --height 360 --width 640

Prints one JSON line. Weights and inputs are random, one clip, ResNet-50, sentences of ten words, no gradient, one
thread. `model` is seconds of this package for all sentences, `released_model` those of `released_referformer.py`,
`model_of_released` the ratio; with `_mb` at the end they are of memory. How both are taken is in `arms.py`. That both
compute the same is tested in `tests/benchmarks`.
"""

import torch
from arms import beside_released, print_measured
from released_referformer import released_masks

from lavseg import ReferFormerConfig, ReferFormerModel

WORDS = 12


@torch.inference_mode()
def measure(frames: int, sentences: int, height: int, width: int, runs: int, seed: int) -> dict[str, float]:
    """What each arm costs, and the ratios."""
    torch.manual_seed(seed)
    model = ReferFormerModel(ReferFormerConfig()).eval()
    clip = torch.randn(frames, 3, height, width)
    ids = torch.randint(3, 50_000, (sentences, WORDS))
    mask = torch.ones_like(ids)

    def ours() -> torch.Tensor:
        return model(clip[None], ids[None], mask[None]).pred_masks

    return beside_released({"model": (ours, lambda: released_masks(model, clip, ids, mask))}, runs)


if __name__ == "__main__":
    print_measured(measure, __doc__, frames=2, sentences=6, height=360, width=640, runs=1, seed=0)
