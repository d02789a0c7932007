"""The regulariser of TPAVI: what the masks show of the frames should be distributed as the sound (Eq. 4, "L_AVM")."""

import torch
import torch.nn.functional as F


def audio_visual_mapping(
    shown: torch.Tensor, visions: list[torch.Tensor], sounds: list[torch.Tensor], soft: bool = True
) -> torch.Tensor:
    """Divergence of the channels of what is shown from those of the sound, mean over stages.

    As released, what is shown is divided by all positions, not by those of the mask, and nothing is normalised.

    Args:
        shown: `[N, H, W]`, mask logits, of which the sigmoid is taken after pooling; without `soft` a map of 0 and 1.
        visions: maps `[N, C, h, w]` of each stage in which sound was mixed in.
        sounds: `[N, C]` for each of these stages.
        soft: whether `shown` holds logits.

    Returns:
        `[N]`, summed over channels.
    """
    costs = []
    for vision, sound in zip(visions, sounds, strict=True):
        mask = F.adaptive_avg_pool2d(shown[:, None], vision.shape[-2:])
        seen = (vision * (mask.sigmoid() if soft else mask)).mean((-2, -1))
        costs.append(F.kl_div(seen.log_softmax(-1), sound.softmax(-1), reduction="none").sum(-1))
    return torch.stack(costs).mean(0)
