from dataclasses import replace

import pytest
import torch

from lavseg.models.referformer.loss_referformer import (
    TrackPredictions,
    absence_loss,
    generalized_iou,
    make_targets,
    mask_boxes,
    match,
    track_losses,
)


def predictions(clips=2, frames=3):
    torch.manual_seed(0)
    return TrackPredictions(
        torch.randn(clips, frames, 5),
        torch.rand(clips, frames, 5, 4),
        torch.randn(clips, frames, 5, 8, 8, requires_grad=True),
    )


def of_clip(clip, frames=3):
    return TrackPredictions(*(part[clip : clip + 1, :frames] for part in vars(predictions()).values()))


def masks(clips=2, frames=3):
    labels = torch.zeros(clips, frames, 32, 32)
    labels[..., 8:20, 4:24] = 1
    return labels


def targets(labels, labeled=None):
    labeled = torch.ones(labels.shape[:2], dtype=torch.bool) if labeled is None else labeled
    return make_targets(labels, labeled, [(32, 32)] * len(labels), (8, 8))


def test_boxes_reach_from_the_first_to_the_last_pixel():
    boxes = mask_boxes(masks(1, 1))
    torch.testing.assert_close(boxes[0, 0], torch.tensor([(4 + 23) / 64, (8 + 19) / 64, 19 / 32, 11 / 32]))
    assert not mask_boxes(torch.zeros(1, 4, 4)).any()
    assert torch.equal(mask_boxes(torch.eye(4)[3:, None].expand(1, 1, 4))[0], torch.tensor([0.75, 0, 0, 0]))


def test_masks_are_sampled_on_a_canvas():
    labels = torch.zeros(1, 24, 20)
    labels[0, 2, 6], labels[0, 3, 7] = 1, 1
    found = make_targets([labels], torch.ones(1, 1, dtype=torch.bool), [(24, 20)], (8, 6))
    assert found.masks.shape == (1, 1, 8, 6)
    assert found.masks.nonzero().tolist() == [[0, 0, 0, 1]]
    # Labels of another size than the frames are brought to theirs.
    double = make_targets([labels.repeat_interleave(2, 1).repeat_interleave(2, 2)], *_rest())
    assert torch.equal(double.masks, found.masks)


def _rest():
    return torch.ones(1, 1, dtype=torch.bool), [(24, 20)], (8, 6)


def test_generalised_iou_of_boxes_apart_is_negative():
    boxes = torch.tensor([[0.25, 0.5, 0.5, 1.0], [0.5, 0.5, 1.0, 1.0]])
    other = torch.tensor([0.75, 0.5, 0.5, 1.0])
    assert generalized_iou(boxes, other).tolist() == pytest.approx([0.0, 0.5], abs=1e-5)
    assert generalized_iou(torch.tensor([0.05, 0.5, 0.1, 1.0]), other) < -0.3


def test_the_query_that_fits_is_matched():
    found, truth = predictions(), targets(masks())
    right = torch.where(truth.masks > 0, 4.0, -4.0)
    with torch.no_grad():
        boxes, tracks = found.boxes.clone(), found.masks.clone()
    boxes[:, :, 3], tracks[:, :, 3] = truth.boxes, right
    assert match(replace(found, boxes=boxes, masks=tracks), truth).tolist() == [3, 3]


def test_frames_without_a_label_count_nowhere():
    labeled = torch.tensor([[True, False, False], [True, True, False]])
    plain, changed = masks(), masks()
    changed[~labeled] = 1 - changed[~labeled]
    first, second = (track_losses(predictions(), targets(each, labeled)) for each in (plain, changed))
    assert {name: value.item() for name, value in first.items()} == {k: v.item() for k, v in second.items()}
    alone = track_losses(of_clip(1, 2), targets(plain[1:, :2]))
    only = track_losses(predictions(), targets(plain, labeled & torch.tensor([[False], [True]])))
    for name, value in alone.items():
        torch.testing.assert_close(only[name], value)


def test_a_clip_without_the_object_teaches_classes_alone():
    labels = masks()
    labels[0] = 0
    found = predictions()
    terms = track_losses(found, targets(labels))
    sum(terms[name] for name in ("mask", "dice", "box", "giou")).backward()
    assert not found.masks.grad[0].any() and found.masks.grad[1].any()
    nothing = track_losses(found, targets(torch.zeros_like(labels)))
    assert nothing["class"] > 0 and all(nothing[name] == 0 for name in ("mask", "dice", "box", "giou"))


def test_absence_is_judged_of_clips_with_a_labelled_frame():
    labels = masks(3)
    labels[0], labels[1, 1:] = 0, 0
    labeled = torch.tensor([[True, True, True], [True, True, False], [False, False, False]])
    logits = torch.tensor([1.5, -0.5, 7.0], requires_grad=True)
    loss = absence_loss(logits, targets(labels, labeled))
    expected = -(torch.sigmoid(logits[0]).log() + torch.sigmoid(-logits[1]).log()) / 2
    torch.testing.assert_close(loss, expected)
    assert absence_loss(logits, targets(labels, torch.zeros_like(labeled))) == 0


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8])
def test_labels_of_any_type_teach_the_same(dtype):
    labels, logits = masks(3), torch.tensor([1.5, -0.5, 7.0])
    labels[0] = 0
    expected, found = targets(labels), targets(labels.to(dtype))
    assert torch.equal(absence_loss(logits, found), absence_loss(logits, expected))
    assert found.visible.dtype == torch.bool and torch.equal(found.visible, expected.visible)
    assert torch.equal(found.masks, expected.masks) and torch.equal(found.boxes, expected.boxes)


def test_terms_are_divided_by_the_frames_in_which_something_is_seen():
    labels = masks()
    labels[:, 2] = 0
    whole = track_losses(predictions(), targets(labels))
    clips = [
        track_losses(
            TrackPredictions(*(part[i : i + 1] for part in vars(predictions()).values())), targets(labels[i : i + 1])
        )
        for i in range(2)
    ]
    for name, value in whole.items():
        torch.testing.assert_close(value, sum(clip[name] for clip in clips) / 2)
