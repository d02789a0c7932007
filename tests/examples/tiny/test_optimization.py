import pytest
import torch
from tiny.optimization import collect_log, optimize
from torch import nn


def downhill(steps, **options):
    """Entries of the log of a parameter on its way to 0, and its values before each step."""
    parameter, places = nn.Parameter(torch.ones(())), []

    def terms():
        places.append(parameter.item())
        return {"loss": parameter**2, "place": parameter.detach()}

    return list(optimize([parameter], terms, 0.1, steps, "downhill", **options)), places


def test_entries_are_means_since_the_last_one():
    entries, places = downhill(5, logging_steps=2)
    assert [entry["step"] for entry in entries] == [2, 4, 5]
    for entry, part in zip(entries, (places[:2], places[2:4], places[4:]), strict=True):
        assert entry["place"] == pytest.approx(sum(part) / len(part), abs=1e-4)
        assert entry["loss"] == pytest.approx(sum(place**2 for place in part) / len(part), abs=1e-4)
    assert places == sorted(places, reverse=True) and places[-1] < 1


def test_entries_of_a_log_are_told_as_they_come():
    told = []

    def entries():
        for step in (1, 2):
            assert len(told) == step - 1
            yield {"step": step}

    assert collect_log(entries(), told.append) == told == [{"step": 1}, {"step": 2}]
