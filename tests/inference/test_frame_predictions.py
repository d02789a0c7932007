"""What a model predicts for frames, and how it becomes masks of the clip's size."""

import numpy as np
import pytest
import torch

from lavseg.inference.frame_predictions import FramePredictions, masks_of_size, segmented_frame, split_clips
from lavseg.media import ClipPart
from lavseg.modeling.outputs import NO_MASK_LOGIT, AudioVisualSegmentationOutput


def predictions(count=4, objects=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(objects, count, 3, 5, generator=generator)
    maps = {"vision_attentions": torch.randn(count, 2, 3, 3, generator=generator)}
    return FramePredictions(logits, {"iou_scores": torch.randn(objects, count, generator=generator)}, maps)


def test_frames_are_cut_out_of_everything():
    whole = predictions()
    part = whole.frames(1, 3)
    assert len(whole) == 4 and len(part) == 2 and len(whole.frames(3)) == 1
    assert torch.equal(part.logits, whole.logits[:, 1:3])
    assert torch.equal(part.scores["iou_scores"], whole.scores["iou_scores"][:, 1:3])
    assert torch.equal(part.attentions["vision_attentions"], whole.attentions["vision_attentions"][1:3])


def test_first_frames_are_replaced_object_by_object():
    whole, other = predictions(), predictions(count=2, seed=1)
    before = whole.logits.clone()
    merged = whole.replaced(other, torch.tensor([[True, False], [False, True]]))
    expected = before.clone()
    expected[0, 0], expected[1, 1] = other.logits[0, 0], other.logits[1, 1]
    assert torch.equal(merged.logits, expected) and torch.equal(whole.logits, before)
    scores = merged.scores["iou_scores"]
    assert scores[0, 0] == other.scores["iou_scores"][0, 0] and scores[0, 1] == whole.scores["iou_scores"][0, 1]


def test_maps_of_classes_go_with_their_frames():
    def with_maps(count, said):
        made = predictions(count, objects=1)
        return FramePredictions(made.logits, made.scores, {}, [lambda i=i: f"{said} {i}" for i in range(count)])

    merged = with_maps(4, "own").frames(1).replaced(with_maps(2, "other"), torch.tensor([[True, False]]))
    assert [make() for make in merged.class_maps] == ["other 0", "own 2", "own 3"]
    assert not predictions().replaced(predictions(2), torch.ones(2, 2, dtype=torch.bool)).class_maps


def outputs():
    masks = torch.full((2, 1, 3, 8, 8), 5.0)
    scores = torch.tensor([[[1.0, -1.0, 2.0]], [[3.0, 4.0, float("nan")]]])
    return AudioVisualSegmentationOutput(
        pred_masks=masks, object_score_logits=scores, presence_logits=torch.tensor([[0.5], [-0.5]])
    )


def test_a_batch_is_split_into_gated_clips_without_padding(tiny_processor):
    frame_mask = torch.tensor([[True, True, True], [True, True, False]])
    first, second = split_clips(tiny_processor, outputs(), frame_mask)
    assert len(first) == 3 and len(second) == 2 and "iou_scores" not in first.scores
    # SAM2-LOVE empties frames in which it judges the object absent, and clips without it.
    assert first.logits[0, :, 0, 0].tolist() == [5, NO_MASK_LOGIT, 5]
    assert second.logits[0, :, 0, 0].tolist() == [NO_MASK_LOGIT] * 2
    assert first.scores["object_score_logits"].tolist() == [[1, -1, 2]]
    assert second.scores["presence_logit"].tolist() == [[-0.5, -0.5]]


def test_a_real_frame_that_is_not_finite_is_refused(tiny_processor):
    with pytest.raises(ValueError, match="object_score_logits: the model gives NaN"):
        split_clips(tiny_processor, outputs(), torch.ones(2, 3, dtype=torch.bool))


def test_masks_have_the_clips_size_with_one_object_or_more(tiny_processor):
    for objects in (1, 2):
        logits = torch.full((objects, 3, 8, 8), -1.0)
        logits[0, 1, :, 4:] = 1.0
        masks = masks_of_size(tiny_processor, logits, (16, 24))
        assert masks.shape == (objects, 3, 16, 24) and masks.dtype == bool
        assert masks[0, 1, :, 13:].all() and masks.sum() == masks[0, 1, :, 12:].sum()


def test_one_frame_at_its_size_in_main_memory(tiny_processor):
    part = ClipPart(2.0, np.zeros((12, 20, 3), np.uint8), None, None)
    frame = segmented_frame(tiny_processor, part, predictions(count=1))
    assert frame.part is part and frame.masks.shape == (2, 12, 20)
    assert frame.scores["iou_scores"].shape == (2,) and frame.scores["iou_scores"].dtype == np.float64
    ious = np.clip(frame.scores["iou_scores"], 0, 1)
    np.testing.assert_array_equal(frame.score, np.where(frame.masks.any((1, 2)), ious, 0))
    assert frame.attentions["vision_attentions"].shape == (2, 3, 3)
    bad = predictions(count=1)
    bad.scores["iou_scores"][0] = torch.inf
    with pytest.raises(ValueError, match="iou_scores: the model gives NaN or infinite"):
        segmented_frame(tiny_processor, part, bad)
