import math

import pytest
import torch

from lavseg.modeling.outputs import NO_MASK_LOGIT, AudioVisualSegmentationOutput, MaskPrediction, check_outputs


def test_what_a_method_does_not_give_is_in_no_key_and_no_tuple():
    masks, key_frames = torch.zeros(1, 1, 2, 4, 4), torch.zeros(1, 1).long()
    output = AudioVisualSegmentationOutput(pred_masks=masks, key_frames=key_frames)
    assert list(output) == ["pred_masks", "key_frames"]
    assert output.to_tuple() == (masks, key_frames) and output["pred_masks"] is output.pred_masks is output[0]
    assert output.loss is None and output.object_score_logits is None


def make_prediction(*lead, on_sam=False):
    candidates, scores = torch.randn(*lead, 3, 4, 4), torch.rand(*lead, 3)
    judged = (None, None) if on_sam else (torch.randn(*lead, 3, 8), torch.randn(lead))
    return MaskPrediction(candidates, scores, *judged, scores.argmax(-1))


@pytest.mark.parametrize("lead", [(5,), (2, 3)])
def test_the_mask_taken_is_the_chosen_candidate(lead):
    prediction = make_prediction(*lead)
    assert torch.equal(prediction.iou_scores, prediction.candidate_scores.amax(-1))
    other = prediction.choose(torch.ones(lead, dtype=torch.long))
    assert torch.equal(other.masks, prediction.candidates[..., 1, :, :])
    assert torch.equal(other.token, prediction.tokens[..., 1, :])
    absent = prediction.object_score_logits <= 0
    assert absent.any() and (other.gated_masks[absent] == NO_MASK_LOGIT).all()
    assert torch.equal(other.gated_masks[~absent], other.masks[~absent])
    summed = prediction.choose(None)
    assert torch.equal(summed.masks, prediction.candidates.sum(-3)) and summed.iou_scores is None


@pytest.mark.parametrize("on_sam", [False, True])
def test_predictions_of_frames_join_to_those_of_a_clip(on_sam):
    parts = [make_prediction(2, on_sam=on_sam) for _ in range(3)]
    clip = MaskPrediction.join(parts, lambda values: torch.stack(values, dim=1)).map(torch.Tensor.double)
    assert clip.candidates.shape == (2, 3, 3, 4, 4)
    assert (clip.object_score_logits is None) == on_sam
    for frame, part in enumerate(parts):
        assert torch.equal(clip.candidates[:, frame], part.candidates.double())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_logit_of_no_mask_is_exact_in_half_precision(dtype):
    assert torch.tensor(NO_MASK_LOGIT, dtype=dtype).item() == NO_MASK_LOGIT


def test_outputs_on_padding_frames_do_not_count():
    outputs = {"pred_masks": torch.zeros(2, 1, 3, 4, 4), "iou_scores": torch.zeros(2, 1, 3)}
    frame_mask = torch.tensor([[True, True, True], [True, True, False]])
    outputs["pred_masks"][1, 0, 2, 0, 0] = outputs["iou_scores"][1, 0, 2] = math.nan
    check_outputs(outputs, frame_mask)
    with pytest.raises(ValueError, match=r"^pred_masks: the model gives NaN"):
        check_outputs(outputs)
    outputs["iou_scores"][1, 0, 1] = math.inf
    with pytest.raises(ValueError, match=r"^iou_scores: the model gives NaN"):
        check_outputs(outputs, frame_mask)
