"""What TPAVI costs beside its released code's order of operations: the four blocks, and the whole model but for VGGish.

    python benchmarks/tpavi.py
    python benchmarks/tpavi.py --backbone resnet --size 128 --runs 5

Prints one JSON line. Weights and inputs are random, one clip, no gradient, one thread. `blocks` and `model` are seconds
of this package, `released_blocks` and `released_model` those of `released_tpavi.py`; `blocks_of_released` and
`model_of_released` are their ratios; with `_mb` at the end they are of memory. How both are taken is in `arms.py`. That
both compute the same is tested in `tests/benchmarks`.
"""

import torch
from arms import beside_released, print_measured
from released_tpavi import released_model

from lavseg import TpaviConfig, TpaviModel, VggishConfig
from lavseg.backbones.pyramids.configuration_pyramids import pvt_v2_b5_config, resnet50_config

BACKBONES = {"pvt": pvt_v2_b5_config, "resnet": resnet50_config}


@torch.inference_mode()
def measure(backbone: str, size: int, frames: int, runs: int, seed: int) -> dict[str, float]:
    """What each arm costs, and the ratios."""
    torch.manual_seed(seed)
    # Sounds are given as embeddings: only the width of VGGish matters.
    audio = VggishConfig(conv_channels=[8] * 6, hidden_size=8)
    model = TpaviModel(TpaviConfig(vision_config=BACKBONES[backbone](), audio_config=audio)).eval()
    released = released_model(model)
    clip = {
        "pixel_values": torch.randn(1, frames, 3, size, size),
        "audio_embeddings": torch.rand(1, frames, audio.embedding_size),
    }
    real = torch.ones(1, frames, dtype=torch.bool)
    width = model.config.hidden_size
    stages = {str(stage): torch.randn(1, frames, (size // 4 >> stage) ** 2, width) for stage in range(4)}

    def blocks_of(owner: TpaviModel) -> None:
        for name, vision in stages.items():
            owner.blocks[name](vision, clip["audio_embeddings"], real)

    arms = {
        "blocks": (lambda: blocks_of(model), lambda: blocks_of(released)),
        "model": (lambda: model(**clip), lambda: released(**clip)),
    }
    return beside_released(arms, runs)


if __name__ == "__main__":
    print_measured(measure, __doc__, backbone=(*BACKBONES,), size=224, frames=5, runs=3, seed=0)
