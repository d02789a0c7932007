import json
import sys

import pytest
from arms import beside_released, least_seconds, memory, print_measured


def test_memory_and_seconds_of_an_arm_and_of_the_released_one():
    def taking(megabytes):
        return lambda: b"x" * (megabytes * 2**20)

    found = beside_released({"model": (taking(64), taking(256))}, runs=2)
    assert found.keys() == {
        f"{name}{unit}" for name in ("model", "released_model", "model_of_released") for unit in ("", "_mb")
    }
    assert found["model_mb"] == pytest.approx(64, abs=24) and found["released_model_mb"] == pytest.approx(256, abs=24)
    assert found["model_of_released_mb"] == pytest.approx(found["model_mb"] / found["released_model_mb"], abs=1e-4)


def test_memory_that_was_freed_before_counts():
    pieces = [b"x" * 2**16 for _ in range(2**11)]
    kept = [b"x" * 2**16]
    del pieces
    assert memory({"arm": lambda: b"x" * 2**26})["arm"] == pytest.approx(64, abs=8)
    assert kept


def test_arms_take_turns():
    order = []
    least_seconds({"first": lambda: order.append(1), "second": lambda: order.append(2)}, 3)
    assert order == [1, 2] * 3


def test_a_command_prints_its_options_and_what_was_measured(monkeypatch, capsys):
    def measure(frames, backbone):
        return {"model": frames * len(backbone)}

    monkeypatch.setattr(sys, "argv", ["some.py", "--frames", "3"])
    print_measured(measure, "What it costs.", frames=2, backbone=("pvt", "resnet"))
    assert json.loads(capsys.readouterr().out) == {"frames": 3, "backbone": "pvt", "model": 9}
    monkeypatch.setattr(sys, "argv", ["some.py", "--backbone", "other"])
    with pytest.raises(SystemExit):
        print_measured(measure, "What it costs.", frames=2, backbone=("pvt", "resnet"))
