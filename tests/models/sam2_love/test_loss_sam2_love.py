import pytest
import torch

from lavseg.losses import mask_bce, mask_dice
from lavseg.modeling.outputs import MaskPrediction
from lavseg.models.sam2_love import Sam2LoveConfig
from lavseg.models.sam2_love.loss_sam2_love import mask_losses

OFF = {"object": 0.0, "iou": 0.0}


@pytest.fixture
def prediction():
    torch.manual_seed(0)
    candidates, scores = torch.randn(2, 3, 8, 8), torch.rand(2, 3)
    return MaskPrediction(candidates, scores, torch.randn(2, 3, 4), torch.randn(2), scores.argmax(-1))


def test_frames_without_label_cost_nothing(prediction):
    targets = (torch.rand(2, 8, 8) > 0.5).float()
    labeled = torch.tensor([True, False])
    _, losses = mask_losses(Sam2LoveConfig(), OFF, dict, prediction, targets, labeled)
    first = prediction.candidates[0, prediction.choice[0]][None]
    torch.testing.assert_close(losses["bce"], mask_bce(first, targets[:1])[0])
    torch.testing.assert_close(losses["dice"], mask_dice(first, targets[:1])[0])
    assert losses.keys() == {"bce", "dice"}
    more = mask_losses(Sam2LoveConfig(), {"object": 1.0, "iou": 1.0}, dict, prediction, targets, labeled)[1]
    assert more.keys() == {"bce", "dice", "object", "iou"}


def test_the_candidate_that_costs_least_learns_where_asked_for(prediction):
    targets = (prediction.candidates[:, 2] > 0).float()
    found, _ = mask_losses(
        Sam2LoveConfig(mask_selection="min_loss"), OFF, dict, prediction, targets, torch.ones(2, dtype=torch.bool)
    )
    assert found.choice.tolist() == [2, 2]
