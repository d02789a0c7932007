import numpy as np
import pytest
import torch

from lavseg.metrics.frame_pairs import as_tensor, paired_frames


def test_arrays_and_nested_lists_become_tensors_of_one_shape():
    predictions, targets = paired_frames("logits", np.zeros((1, 1, 2)), [[[0, 1]]])
    assert predictions.dtype == torch.float64 and targets.tolist() == [[[0, 1]]]


def test_what_is_wrong_is_named():
    frames = torch.zeros(2, 4, 4)
    for predictions, targets, message in (
        (frames[0], frames, r"logits must hold at least one frame as \[N, H, W\], got shape \(4, 4\)"),
        (frames, frames[:0], r"targets must hold at least one frame"),
        (frames, frames[:1], r"logits and targets must have one shape .* \(2, 4, 4\) and targets \(1, 4, 4\)"),
        ("masks", frames, "logits must be a tensor or an array, got str"),
    ):
        with pytest.raises(ValueError, match=message):
            paired_frames("logits", predictions, targets)
    with pytest.raises(ValueError, match="scores must be a tensor or an array, got NoneType"):
        as_tensor("scores", None)
