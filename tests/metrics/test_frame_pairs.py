import numpy as np
import pytest
import torch

from lavseg.metrics.frame_pairs import as_tensor, paired_frames
from on_mps import OnMps

GOOD = torch.zeros(2, 4, 4)


def test_arrays_and_lists_become_tensors():
    predictions, targets = paired_frames("logits", np.ones((1, 1, 2)), [[[0, 1]]])
    assert predictions.tolist() == [[[1, 1]]] and targets.tolist() == [[[0, 1]]]
    assert as_tensor("logits", GOOD) is GOOD


def test_what_is_on_a_device_without_float64_is_compared_on_the_cpu():
    for targets in (GOOD, GOOD.as_subclass(OnMps)):
        found = paired_frames("logits", GOOD.as_subclass(OnMps), targets)
        assert [part.device.type for part in found] == ["cpu", "cpu"]


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (torch.zeros(2, 4, 5), GOOD, r"logits and targets must have one shape.*\(2, 4, 5\).*\(2, 4, 4\)"),
        (torch.zeros(4, 4), GOOD, r"logits must hold at least one frame as \[N, H, W\], got shape \(4, 4\)"),
        (torch.zeros(1, 2, 4, 4), GOOD, r"logits must hold at least one frame"),
        (torch.zeros(0, 4, 4), torch.zeros(0, 4, 4), r"logits must hold at least one frame"),
        (GOOD, torch.zeros(4, 4), r"targets must hold at least one frame"),
        ("masks", GOOD, r"logits must be a tensor or an array, got str"),
        (GOOD, None, r"targets must be a tensor or an array, got NoneType"),
    ],
)
def test_what_does_not_fit_is_named(logits, targets, message):
    with pytest.raises(ValueError, match=message):
        paired_frames("logits", logits, targets)
