import pytest
import torch
import torch.nn.functional as F

from lavseg.models.stepping_stones.outputs_stepping_stones import SteppingStonesOutput, class_scores


def test_scores_are_sums_over_queries_of_what_is_likely_and_inside():
    torch.manual_seed(0)
    logits, masks = torch.randn(4, 3), torch.randn(4, 6, 6)
    scores = class_scores(logits, masks, 24)
    inside = F.interpolate(masks[None], (24, 24), mode="bilinear")[0].sigmoid()
    named = logits.softmax(-1)
    for label in (0, 1):
        expected = sum(named[query, label] * inside[query] for query in range(4))
        torch.testing.assert_close(scores[label], expected)
    assert scores.shape == (2, 24, 24)


def test_the_published_curve_is_of_other_maps_than_the_masks():
    scores = torch.rand(1, 2, 3, 4, 4)
    outputs = SteppingStonesOutput(pred_masks=(scores[:, 1] - scores[:, 0])[:, None], class_scores=scores)
    assert torch.equal(outputs.curve_masks[0, 0], 2 * scores[0, 1] - scores[0, 0])
    assert outputs.predictions().keys() == {"pred_masks", "class_scores"}
    assert outputs.curve_masks[0, 0, 0, 0, 0].item() == pytest.approx(
        outputs.pred_masks[0, 0, 0, 0, 0].item() + scores[0, 1, 0, 0, 0].item()
    )
