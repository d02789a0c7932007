import pytest
import torch

from lavseg.losses import mask_bce, mask_dice, mask_iou, mean_terms, weighted_mean

# One mask that is all right and one that is all wrong, of two by two pixels.
TARGETS = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]] * 2)
LOGITS = torch.stack([20 * TARGETS[0] - 10, 10 - 20 * TARGETS[1]])


def test_a_right_mask_costs_nothing_and_a_wrong_one_much():
    assert mask_bce(LOGITS, TARGETS).tolist() == pytest.approx([0, 10], abs=1e-3)
    assert mask_dice(LOGITS, TARGETS).tolist() == pytest.approx([0, 1], abs=1e-3)
    assert mask_iou(LOGITS, TARGETS).tolist() == [1, 0]


def test_dice_equals_its_definition():
    logits, targets = torch.randn(3, 5, 7), (torch.rand(3, 5, 7) < 0.4).float()
    p = logits.sigmoid()
    plain = 1 - (2 * (p * targets).sum((1, 2)) + 1e-3) / (p.sum((1, 2)) + targets.sum((1, 2)) + 1e-3)
    torch.testing.assert_close(mask_dice(logits, targets), plain)


def test_terms_of_parts_are_averaged_by_name():
    parts = [
        {"bce": torch.tensor(1.0), "dice": torch.tensor(4.0)},
        {"bce": torch.tensor(2.0), "dice": torch.tensor(0.0)},
    ]
    assert mean_terms(parts) == {"bce": 1.5, "dice": 2} and mean_terms(parts[:1]) == parts[0]


def test_an_empty_target_costs_one_and_hardly_pulls():
    logits = torch.zeros(1, 8, 8, requires_grad=True)
    loss = mask_dice(logits, torch.zeros(1, 8, 8))
    loss.sum().backward()
    assert loss.item() == pytest.approx(1, abs=1e-3) and logits.grad.abs().max() < 1e-4


def test_two_empty_masks_have_no_overlap():
    assert mask_iou(torch.full((1, 2, 2), -5.0), torch.zeros(1, 2, 2)).item() == 0


def test_types_of_masks_do_not_matter():
    for loss in (mask_bce, mask_dice, mask_iou):
        assert torch.equal(loss(LOGITS, TARGETS.bool()), loss(LOGITS, TARGETS))


def test_a_weighted_mean_without_weight_is_zero_and_has_a_gradient():
    values = torch.tensor([1.0, 3.0], requires_grad=True)
    assert weighted_mean(values, torch.tensor([1.0, 3.0])).item() == 2.5
    nothing = weighted_mean(values, torch.zeros(2))
    nothing.backward()
    assert nothing.item() == 0 and values.grad.tolist() == [0, 0]
