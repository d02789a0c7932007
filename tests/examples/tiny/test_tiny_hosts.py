from functools import partial

import pytest
import torch
from tiny.categories import CategoryFrames, train_mask2former, train_pyramid

from lavseg.data import BAND


@pytest.fixture
def frames(processes_here):
    return CategoryFrames.render(3, seed=0)


def test_frames_show_categories_of_the_band(frames):
    assert frames.images.shape == (3, 3, 128, 128) and frames.shown.shape == (3, 128, 128)
    for shown in frames.shown:
        numbers = set(shown.unique().tolist())
        assert 0 in numbers and len(numbers) > 1 and max(numbers) <= len(BAND)
    images, shown = next(frames.batches(0))
    assert images.shape == (32, 3, 128, 128) and -3 < images.mean() < 3 and shown.dtype == torch.long


@pytest.mark.parametrize("train", [train_pyramid, partial(train_pyramid, model_type="resnet"), train_mask2former])
def test_hosts_learn_and_say_how_well(train, processes_here):
    logged = []
    first, log = train(0, steps=1, frames=2, on_log=logged.append)
    assert log == logged and [entry["step"] for entry in log] == [1]
    assert 0 <= log[0]["hits"] <= 1 and log[0]["loss"] > 0 and not first.training
    second = train(0, steps=2, frames=2)[0].state_dict()
    assert any(not torch.equal(value, second[name]) for name, value in first.state_dict().items())
