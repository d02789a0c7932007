import pytest
import torch

from lavseg.backbones.rows import as_index, frames_of, true_places


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_true_places_are_those_of_nonzero(density):
    mask = torch.rand(7, 50, generator=torch.Generator().manual_seed(0)) < density
    expected = mask.flatten().nonzero()[:, 0]
    assert torch.equal(true_places(mask, len(expected)), expected)


def test_an_index_picks_rows_and_may_be_empty():
    values = torch.arange(4) ** 2
    assert values[as_index([3, 1, 1], values.device)].tolist() == [9, 1, 1]
    assert values[as_index([], values.device)].tolist() == []


def test_frames_are_counted_clip_by_clip():
    assert frames_of([2, 1]) == ([0, 0, 1], [0, 1, 0])
