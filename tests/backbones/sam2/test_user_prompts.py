import numpy as np
import pytest
import torch
from tiny.configurations import nano_sam2_config
from transformers import Sam2VideoModel

from lavseg.backbones.sam2.user_prompts import UserPrompt, conditioning_frames, encode_user_prompts

POINTS, LABELS = torch.tensor([[[[60.0, 50.0]]]]), torch.ones(1, 1, 1, dtype=torch.int32)
BOXES = torch.tensor([[[20.0, 30.0, 90.0, 100.0]]])


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return Sam2VideoModel(nano_sam2_config()).prompt_encoder.eval()


def encode(encoder, points=None, labels=None, boxes=None, masks=None, shape=(1, 1)):
    with torch.no_grad():
        return encode_user_prompts(encoder, shape, points, labels, boxes, masks)


def test_without_prompts_there_is_nothing(encoder):
    assert encode(encoder) == []


def test_points_and_boxes_are_what_sam2_encodes(encoder):
    (found,) = encode(encoder, POINTS, LABELS, BOXES)
    sparse, dense = encoder(POINTS, LABELS, BOXES, None)
    assert torch.equal(found.sparse, sparse[:, 0]) and torch.equal(found.dense, dense)


def test_a_box_is_two_points_with_labels_of_their_own(encoder):
    (found,) = encode(encoder, BOXES.view(1, 1, 2, 2), torch.tensor([[[2, 3]]]))
    torch.testing.assert_close(found.sparse, encode(encoder, boxes=BOXES)[0].sparse)


def test_a_mask_of_nan_is_none(encoder):
    masks = torch.ones(1, 2, 20, 30)
    masks[:, 1] = torch.nan
    (found,) = encode(encoder, masks=masks, shape=(1, 2))
    torch.testing.assert_close(found.dense[0], encode(encoder, masks=masks[:, :1])[0].dense[0])
    torch.testing.assert_close(
        found.dense[1], encode(encoder, BOXES.view(1, 1, 2, 2), torch.tensor([[[1, 0]]]))[0].dense[0]
    )


def test_a_mask_alone_is_dense_and_takes_the_size_of_the_encoder(encoder):
    masks = torch.ones(1, 1, 20, 30)
    (found,) = encode(encoder, masks=masks)
    _, dense = encoder(None, None, None, torch.ones(1, 1, *encoder.mask_input_size))
    assert found.sparse.shape == (1, 0, dense.shape[1])
    torch.testing.assert_close(found.dense, dense)


def test_every_prompted_frame_has_rows_for_all_clips_and_expressions(encoder):
    boxes = torch.rand(2, 3, 4, 4) * 100
    found = encode(encoder, boxes=boxes, shape=(2, 3))
    assert len(found) == 4
    for frame, prompt in enumerate(found):
        (alone,) = encode(encoder, boxes=boxes[1:, 2:, frame])
        torch.testing.assert_close(prompt.sparse[5:], alone.sparse)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ({"points": torch.zeros(1, 1, 1, 2)}, "input_points and input_labels: pass both or neither"),
        (
            {"points": torch.zeros(1, 1, 2, 2), "labels": torch.ones(1, 1, 1).int()},
            r"one label, got shapes \[1, 1, 2, 2\] and \[1, 1, 1\]",
        ),
        ({"boxes": torch.zeros(1, 1, 3)}, r"input_boxes: each box is \(x1, y1, x2, y2\)"),
        ({"boxes": torch.zeros(1, 2, 4)}, "input_boxes: begins with"),
        (
            {"boxes": torch.zeros(1, 1, 2, 4), "masks": torch.zeros(1, 1, 3, 8, 8)},
            "the same frames, got these numbers of frames: {'input_boxes': 2, 'input_masks': 3}",
        ),
    ],
)
def test_prompts_that_do_not_fit_are_named(encoder, prompts, message):
    with pytest.raises(ValueError, match=message):
        encode(encoder, **prompts)


def test_prompts_follow_their_objects():
    prompt = UserPrompt(torch.arange(6.0).view(6, 1, 1), None)
    picked = prompt.map(lambda values: values[[4, 5, 0, 1]])
    assert picked.sparse.flatten().tolist() == [4, 5, 0, 1] and picked.dense is None


def test_frames_and_prompts_belong_together():
    shown = [UserPrompt(torch.zeros(1, 1, 8), None), UserPrompt(torch.ones(1, 1, 8), None)]
    assert conditioning_frames(5, 2, None, []) == {2: None}
    assert conditioning_frames(5, 2, None, shown[:1]) == {2: shown[0]}
    assert conditioning_frames(5, 2, [3, 1], shown) == {3: shown[0], 1: shown[1]}
    for frames, prompts, message in (
        ([0], [], "prompt_frames: pass input_points"),
        ([3, 3], shown, "prompt_frames: the prompts cover 2 frames"),
        ([0, 5], shown, r"prompt_frames: \[0, 5\] were given, .* frames 0 to 4"),
    ):
        with pytest.raises(ValueError, match=message):
            conditioning_frames(5, 2, frames, prompts)


def test_frames_may_be_an_array_and_have_to_be_whole_numbers():
    shown = [UserPrompt(torch.zeros(1, 1, 8), None), UserPrompt(torch.ones(1, 1, 8), None)]
    for frames in (torch.tensor([3, 1]), np.array([3, 1]), (np.int64(3), 1), range(3, 0, -2)):
        assert conditioning_frames(5, 2, frames, shown) == {3: shown[0], 1: shown[1]}
    for frames in (3, torch.tensor(3), [0.0, 1.0], torch.tensor([0.0, 1.0]), [torch.tensor(3), torch.tensor(1)], "31"):
        with pytest.raises(ValueError, match=r"^prompt_frames: has to list whole numbers of frames, got"):
            conditioning_frames(5, 2, frames, shown)
