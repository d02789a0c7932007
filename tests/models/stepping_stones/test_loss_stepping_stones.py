import pytest
import torch
import torch.nn.functional as F

from lavseg.backbones.mask2former.modeling_mask2former import QueryPredictions
from lavseg.models.stepping_stones.loss_stepping_stones import (
    NULL_WEIGHT,
    POINTS,
    FrameTargets,
    clip_losses,
    match,
    uncertain_points,
)

MAPS = torch.zeros(2, 8, 8, dtype=torch.long)
MAPS[0, :4], MAPS[1, :, :4], MAPS[1, 0, 0] = 2, 1, 4


def predictions(targets, classes):
    """Of the queries 3, 4, ... each gives a mask of the targets and its class; the others give nothing."""
    masks, logits = torch.full((2, 8, 16, 16), -20.0), torch.zeros(2, 8, classes + 1)
    logits[..., -1] = 20
    place = [3, 3]
    for frame, label, mask in zip(targets.frames, targets.classes, targets.masks, strict=True):
        masks[frame, place[frame]] = 40 * mask.float() - 20
        logits[frame, place[frame], -1], logits[frame, place[frame], label] = 0, 20
        place[frame] += 1
    return QueryPredictions(logits, masks)


def test_every_class_that_a_frame_shows_is_a_mask():
    targets = FrameTargets.of(MAPS, 16, 5)
    assert targets.counts == [2, 3] and targets.frames.tolist() == [0, 0, 1, 1, 1]
    assert targets.classes.tolist() == [0, 2, 0, 1, 4]
    assert targets.masks.shape == (5, 16, 16) and torch.equal(targets.masks[:2].sum(0), torch.ones(16, 16))
    assert targets.masks[4].sum() == 4


def test_the_right_queries_are_matched_and_cost_nothing():
    targets = FrameTargets.of(MAPS, 16, 5)
    found = predictions(targets, 5)
    frames, queries, masks = match(*found, targets)
    assert frames.tolist() == [0, 0, 1, 1, 1] and queries.tolist() == [3, 4, 3, 4, 5]
    assert masks.tolist() == [0, 1, 2, 3, 4]
    losses = clip_losses([found], targets)
    # At the points nearest to an edge, the truth is between 0 and 1.
    assert losses["class"] < 1e-4 and losses["mask"] < 1 and losses["dice"] < 0.2


def test_levels_add_up_and_what_is_left_over_says_that_it_is_nothing():
    targets = FrameTargets.of(MAPS, 16, 5)
    found = predictions(targets, 5)
    wrong = QueryPredictions(found.class_logits.roll(1, -1), found.masks)
    torch.manual_seed(0)
    one = clip_losses([wrong], targets)
    torch.manual_seed(0)
    three = clip_losses([found, found, wrong], targets)
    assert three["class"] == pytest.approx(one["class"].item(), abs=1e-3) and three["mask"] > one["mask"]
    # Five queries with a class weigh one each, eleven without a tenth.
    expected = torch.full((2, 8), 5)
    frames, queries, masks = match(*wrong, targets)
    expected[frames, queries] = targets.classes[masks]
    cost = F.cross_entropy(wrong.class_logits.transpose(1, 2), expected, reduction="none")
    weights = torch.where(expected == 5, NULL_WEIGHT, 1.0)
    assert one["class"].item() == pytest.approx(((cost * weights).sum() / weights.sum()).item(), rel=1e-5)


def test_points_are_chosen_where_a_mask_is_least_sure():
    torch.manual_seed(0)
    ramp = torch.linspace(-8, 8, 64).expand(1, 1, 64, 64)
    points = uncertain_points(ramp)
    assert points.shape == (1, POINTS, 2) and points.min() >= 0 and points.max() <= 1
    near = (points[0, :, 0] - 0.5).abs() < 0.15
    shares = [part.float().mean().item() for part in near.split([int(0.75 * POINTS), int(0.25 * POINTS)])]
    # Beyond the border there is nothing, so that a mask is unsure there, too.
    assert shares[0] > 0.95 and shares[1] < 0.35


def test_more_masks_than_queries_leave_some_out():
    targets = FrameTargets.of(torch.arange(16).view(1, 4, 4), 16, 16)
    found = QueryPredictions(torch.zeros(1, 3, 17), torch.randn(1, 3, 8, 8))
    assert len(match(*found, targets)[0]) == 3
    assert all(value.isfinite() for value in clip_losses([found], targets).values())
