from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lavseg.models.stepping_stones.matching_stepping_stones import cheapest_assignment, matching_costs


def least_sum(costs):
    few, many = (costs, costs.shape[1]) if costs.shape[0] <= costs.shape[1] else (costs.T, costs.shape[0])
    rows = np.arange(len(few))
    return min(few[rows, list(columns)].sum() for columns in permutations(range(many), len(few)))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1), st.booleans())
def test_no_other_assignment_costs_less(rows, columns, seed, whole):
    rng = np.random.default_rng(seed)
    costs = rng.integers(-3, 4, (rows, columns)).astype(float) if whole else rng.normal(size=(rows, columns))
    first, second = cheapest_assignment(costs)
    assert len(first) == min(rows, columns) and len(set(second)) == len(second)
    assert list(first) == sorted(set(first))
    assert costs[first, second].sum() == pytest.approx(least_sum(costs))


def test_costs_are_of_the_class_and_of_the_mask():
    class_logits = torch.tensor([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]])
    points = torch.tensor([[9.0, 9.0, -9.0], [-9.0, -9.0, 9.0]])
    truth = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    costs = matching_costs(class_logits, points, torch.tensor([0, 1]), truth)
    assert costs.argmin(0).tolist() == [0, 1]
    # A class that is sure is worth one, a mask that is wrong everywhere costs the dice of five and more.
    other = matching_costs(class_logits, points, torch.tensor([1, 0]), truth)
    assert (other - costs).diagonal().tolist() == pytest.approx([1, 1], abs=1e-3)


def test_what_is_no_number_is_matched_last():
    logits = torch.tensor([[1.0, 0.0], [float("nan"), 0.0]])
    costs = matching_costs(logits, torch.zeros(2, 3), torch.tensor([0]), torch.ones(1, 3))
    assert costs.isfinite().all() and cheapest_assignment(costs.numpy())[0].tolist() == [0]
