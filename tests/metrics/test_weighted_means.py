import pytest
import torch

from lavseg.metrics.weighted_means import WeightedMeans


def test_values_count_by_their_weight():
    means = WeightedMeans()
    means.add({"bce": torch.tensor(1.0), "dice": torch.tensor(4.0)}, 3)
    means.add({"bce": torch.tensor(5.0), "dice": torch.tensor(0.0)}, 1)
    assert means.compute() == pytest.approx({"bce": 2, "dice": 3})


def test_sums_of_all_processes_are_joined():
    means = WeightedMeans()
    means.add({"bce": torch.tensor(1.0)}, 1)
    assert means.compute(lambda sums: sums + torch.tensor([9.0, 1.0])) == {"bce": 5.0}


def test_small_types_do_not_lose_digits():
    means = WeightedMeans()
    for _ in range(1000):
        means.add({"bce": torch.tensor(1.0, dtype=torch.bfloat16)}, 1)
    assert means.compute() == {"bce": 1.0}


def test_adding_does_not_wait_for_the_device_nor_keep_the_graph():
    means = WeightedMeans()
    means.add({"bce": torch.zeros((), device="meta")}, 1)  # reading a value of it is an error
    means = WeightedMeans()
    means.add({"bce": torch.ones((), requires_grad=True) * 2}, 1)
    assert not means.sums["bce"].requires_grad


def test_nothing_added():
    assert WeightedMeans().compute() == {}
