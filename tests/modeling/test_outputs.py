import math

import pytest
import torch

from lavseg.modeling.outputs import NO_MASK_LOGIT, AudioVisualSegmentationOutput, check_outputs


def test_what_a_method_does_not_give_is_in_no_key_and_no_tuple():
    masks, key_frames = torch.zeros(1, 1, 2, 4, 4), torch.zeros(1, 1).long()
    output = AudioVisualSegmentationOutput(pred_masks=masks, key_frames=key_frames)
    assert list(output) == ["pred_masks", "key_frames"]
    assert output.to_tuple() == (masks, key_frames) and output["pred_masks"] is output.pred_masks is output[0]
    assert output.loss is None and output.object_score_logits is None


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
