import json

import numpy as np
import pytest
import torch

from conftest import golden_files
from lavseg.backbones.sam2.losses_sam2 import sam2_losses

# Our terms and the released ones.
TERMS = {"focal": "loss_mask", "dice": "loss_dice", "iou": "loss_iou", "object": "loss_class"}


@pytest.mark.parity
@pytest.mark.parametrize("file", golden_files("auralsam2/losses.npz"))
def test_every_term_agrees_with_the_released_code(file):
    expected = json.loads(file.with_suffix(".json").read_text())
    arrays = {name: torch.from_numpy(value) for name, value in np.load(file).items()}
    seeds = [name.removeprefix("logits_seed") for name in arrays if name.startswith("logits_seed")]
    assert seeds
    for seed in seeds:
        logits, ious, scores, targets = (arrays[f"{name}_seed{seed}"] for name in ("logits", "ious", "obj", "target"))
        found = sam2_losses(logits, ious, scores[:, 0], targets)
        for frame, terms in enumerate(expected[f"sam2_loss_seed{seed}_per_frame"]):
            for ours, theirs in TERMS.items():
                assert found[ours][frame].item() == pytest.approx(terms[theirs], rel=1e-5, abs=1e-6)


def test_an_empty_frame_trains_the_object_score_only():
    losses = sam2_losses(torch.randn(1, 3, 8, 8), torch.rand(1, 3), torch.tensor([0.7]), torch.zeros(1, 8, 8))
    assert {name: value.item() > 0 for name, value in losses.items()} == {
        "focal": False,
        "dice": False,
        "iou": False,
        "object": True,
    }


@pytest.mark.parametrize("best", range(3))
def test_the_iou_loss_is_on_all_candidates_or_on_the_best_alone(best):
    """Of three candidates one is the truth, whose IoU is 1; the others are empty, and their IoU is 0."""
    targets = torch.zeros(1, 8, 8)
    targets[:, 2:6, 1:5] = 1
    candidates, scores = torch.full((1, 3, 8, 8), -20.0), torch.tensor([[0.1, 0.3, 0.5]])
    candidates[:, best] = 40 * targets - 20
    errors = scores[0].clone()
    errors[best] = 1 - errors[best]
    found = [
        sam2_losses(candidates, scores, torch.zeros(1), targets, iou_of_best=only)["iou"] for only in (False, True)
    ]
    torch.testing.assert_close(torch.cat(found), torch.stack([errors.mean(), errors[best]]))
