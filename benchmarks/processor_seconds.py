"""Seconds of the processor, not those of a clock, so that what else runs on the machine counts little."""

import time
from collections.abc import Callable, Mapping


def least_seconds(arms: Mapping[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Of each arm the least seconds of so many runs; the arms take turns."""
    rounds = [{name: _seconds_of(arm) for name, arm in arms.items()} for _ in range(runs)]
    return {name: min(times[name] for times in rounds) for name in arms}


def _seconds_of(function: Callable[[], object]) -> float:
    began = time.process_time()
    function()
    return time.process_time() - began
