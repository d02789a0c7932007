import math

import pytest
import torch
from torch import nn

from lavseg.training.divergence import DivergenceWatch, TrainingDivergedError


def alone(values):
    return values


def test_a_loss_is_looked_at_without_waiting_for_its_device():
    watch = DivergenceWatch()
    for step in (1, 2):
        watch.add(torch.zeros((), device="meta"), step)  # reading a value of it is an error


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_first_step_with_a_bad_loss_is_named(bad):
    watch = DivergenceWatch()
    watch.add(torch.tensor(1.0), 1)
    watch.check(1, None, alone)
    for step in (2, 3):
        watch.add(torch.tensor(bad), step)
    with pytest.raises(TrainingDivergedError, match="the loss is NaN or infinite at step 2, nothing was saved since"):
        watch.check(3, None, alone)


def test_weights_are_looked_at_where_a_model_is_given():
    model, watch = nn.BatchNorm1d(2), DivergenceWatch()
    watch.check(1, model, alone)
    model.running_var[0] = math.nan
    watch.check(2, None, alone)
    with pytest.raises(TrainingDivergedError, match="running_var holds NaN or infinite values after step 2"):
        watch.check(2, model, alone)


def test_what_another_process_saw_ends_this_one_too():
    elsewhere = torch.tensor([[math.inf, 4.0]])
    with pytest.raises(TrainingDivergedError, match="a weight holds NaN or infinite values after step 4"):
        DivergenceWatch().check(4, nn.Linear(1, 1), lambda values: torch.cat([values, elsewhere]))
