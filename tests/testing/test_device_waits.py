import pytest
import torch

from lavseg.testing.device_waits import DeviceWaits

MASK = torch.tensor([True, False, True])


def fill(values):
    values[MASK] = torch.ones(2)


WAITS = {
    "_local_scalar_dense": lambda values: values.sum().item(),
    "nonzero": lambda values: values.nonzero(),
    "_unique2": lambda values: values.unique(),
    "unique_dim": lambda values: values[None].unique(dim=0),
    "index": lambda values: values[MASK],
    "index_put_": fill,
    "masked_select": lambda values: values.masked_select(MASK),
    "repeat_interleave": lambda values: torch.repeat_interleave(values, MASK.int()),
    "tolist": lambda values: values.tolist(),
    "numpy": lambda values: values.numpy(),
}


@pytest.mark.parametrize("name", WAITS)
def test_what_waits_is_counted(name):
    with DeviceWaits(from_the_start=True) as waits:
        for _ in range(2):
            WAITS[name](torch.arange(3.0))
    assert waits.counts[name] == 2


def test_what_does_not_wait_is_not_counted():
    values = torch.arange(3.0)
    with DeviceWaits(from_the_start=True) as waits:
        values[torch.tensor([0, 2])].masked_fill(MASK[:2], 0).repeat_interleave(2).argmax()
        values[1:] = 5
    assert not waits.counts


def test_counting_starts_with_the_first_convolution():
    images = torch.ones(1, 1, 3, 3)
    with DeviceWaits() as waits:
        assert images.sum() == 9
        convolved = torch.nn.functional.conv2d(images, images)
        assert convolved == 9
    assert waits.counts == {"_local_scalar_dense": 1}
