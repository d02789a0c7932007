import torch
import torch.nn.functional as F
from lavseg.metrics.labeled_frames import labeled_frames


def scale(logits, size):
    return F.interpolate(logits[:, None], size, mode="nearest")[:, 0]


def test_only_frames_that_count_are_left_and_they_have_the_size_of_the_labels():
    pred_masks = torch.arange(12.0).view(2, 2, 3, 1, 1).half()
    labels = pred_masks.expand(2, 2, 3, 4, 6).long()
    counted = torch.tensor([[True, False, True], [False, True, False]])
    logits, found = labeled_frames(pred_masks, labels, counted, scale)
    assert logits.shape == found.shape == (6, 4, 6) and logits.dtype == torch.float32
    assert found[:, 0, 0].tolist() == [0, 2, 3, 5, 7, 10]
    assert torch.equal(logits, found.float())
