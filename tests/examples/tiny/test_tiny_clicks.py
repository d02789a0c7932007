import numpy as np
import pytest
import torch
from tiny.clicks import IMAGE_SIZE, ClipPool, click_loss, mean_iou, number_objects
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD


@pytest.fixture
def pool(processes_here):
    return ClipPool.render(2, 3, seed=3)


def test_clicks_lie_on_the_object_whose_masks_are_given(pool):
    images, clicks, masks = pool.draw(np.random.default_rng(0), 16, num_frames=2)
    assert images.shape == (16, 2, 3, IMAGE_SIZE, IMAGE_SIZE) and masks.shape == (16, 2, IMAGE_SIZE, IMAGE_SIZE)
    columns, rows = clicks.long().unbind(1)
    assert masks[torch.arange(16), 0, rows, columns].all() and 0 < masks[:, 0].mean() < 0.5


def test_several_clicks_of_one_clip_follow_each_other(pool):
    images, clicks, masks = pool.draw(np.random.default_rng(0), 2, clicks=3)
    assert images.shape[0] == 2 and masks.shape[:2] == (6, 1) and clicks.shape == (6, 2)
    shown = [
        [torch.equal(mask[0], other[0]) or not (mask[0] * other[0]).any() for mask in masks[:3]] for other in masks[:3]
    ]
    assert all(map(all, shown)), "the masks of one clip are those of one object or of two that share no pixel"


def test_no_click_is_drawn_where_nothing_is_in_view(pool):
    pool.owners[:, 0] = pool.owners[1, 1] = 0
    pool = ClipPool(pool.images, pool.owners)
    images, _, masks = pool.draw(np.random.default_rng(0), 16)
    assert masks.flatten(1).any(1).all()
    mean, std = (torch.tensor(values).view(3, 1, 1) * 255 for values in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD))
    shown = [(pool.images[clip, frame].float() - mean) / std for clip, frame in ((0, 1), (0, 2), (1, 2))]
    assert all(any(torch.equal(image, frame) for frame in shown) for image in images[:, 0])


def test_objects_are_numbered():
    masks = np.zeros((2, 1, 2, 2), bool)
    masks[0, 0, 0, 0] = masks[1, 0, 1, 1] = True
    assert number_objects(masks).tolist() == [[[1, 0], [0, 2]]]


def test_only_the_object_score_learns_where_the_object_is_hidden():
    targets = torch.zeros(2, 8, 8)
    targets[0, 2:6, 2:6] = 1
    values = [torch.randn(2, 3, 4, 4), torch.rand(2, 3), torch.zeros(2)]
    candidates, ious, scores = (value.requires_grad_() for value in values)
    click_loss(candidates, ious, scores, targets).backward()
    assert candidates.grad[0].any() and ious.grad[0].any()
    assert not candidates.grad[1].any() and not ious.grad[1].any()
    assert scores.grad[0] < 0 < scores.grad[1]

    with_scores = click_loss(candidates, ious, scores, targets)
    assert (with_scores - click_loss(candidates, ious, None, targets)).item() == pytest.approx(np.log(2), abs=1e-6)


def test_hidden_objects_do_not_count_for_the_iou():
    targets = torch.zeros(2, 8, 8)
    targets[0, :, :4] = 1
    masks = torch.full((2, 4, 4), -1.0)
    masks[0, :2, :2] = masks[1] = 1.0
    assert mean_iou(masks, targets).item() == pytest.approx(0.5)
