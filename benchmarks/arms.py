"""What arms of a benchmark cost beside each other: seconds of the processor, not those of a clock, so that what else
runs on the machine counts little, and the memory that a run adds to the process."""

import argparse
import ctypes
import gc
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection

import torch

Arm = Callable[[], object]
# The units of `ru_maxrss` in a megabyte.
PER_MB = 2**20 if sys.platform == "darwin" else 2**10


def print_measured(
    measure: Callable[..., dict[str, float]], description: str | None, **options: int | tuple[str, ...]
) -> None:
    """A command's `main`: call `measure` with its options, on one thread, and print one JSON line of these and of what
    it returns. For each option its default is given, or the words that it takes, of which the first is the default."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    for name, value in options.items():
        words = {"choices": value, "default": value[0]} if isinstance(value, tuple) else {"type": int, "default": value}
        parser.add_argument(f"--{name}", **words)
    given = vars(parser.parse_args())
    torch.set_num_threads(1)
    print(json.dumps({**given, **measure(**given)}))


def beside_released(arms: Mapping[str, tuple[Arm, Arm]], runs: int) -> dict[str, float]:
    """Of each name the costs of our arm, of the released one, `released_<name>`, and their ratios,
    `<name>_of_released`; in megabytes with `_mb` at the end."""
    every = {name: ours for name, (ours, _) in arms.items()}
    every |= {f"released_{name}": released for name, (_, released) in arms.items()}
    costs = (("_mb", memory(every)), ("", least_seconds(every, runs)))  # memory first, as runs leave some behind
    found = {f"{name}{unit}": value for unit, cost in costs for name, value in cost.items()}
    for name in arms:
        for unit in ("", "_mb"):
            found[f"{name}_of_released{unit}"] = found[f"{name}{unit}"] / found[f"released_{name}{unit}"]
    return {name: round(value, 4) for name, value in found.items()}


def least_seconds(arms: Mapping[str, Arm], runs: int) -> dict[str, float]:
    """Of each arm the least seconds of so many runs; the arms take turns."""
    rounds = [{name: _seconds_of(arm) for name, arm in arms.items()} for _ in range(runs)]
    return {name: min(times[name] for times in rounds) for name in arms}


def memory(arms: Mapping[str, Arm]) -> dict[str, float]:
    """Of each arm the megabytes that the process grows by at most in one run, each in a copy of this process."""
    return {name: _growth_of(arm) for name, arm in arms.items()}


def _seconds_of(arm: Arm) -> float:
    began = time.process_time()
    arm()
    return time.process_time() - began


def _growth_of(arm: Arm) -> float:
    _give_back_free_memory()
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_send_growth, args=(arm, there))
    process.start()
    there.close()
    growth = here.recv()
    process.join()
    return growth


def _give_back_free_memory() -> None:
    """Without this what was freed before is used again, uncounted."""
    gc.collect()
    if sys.platform == "linux":
        getattr(ctypes.CDLL(None), "malloc_trim", int)(0)  # glibc alone has it


def _send_growth(arm: Arm, receiver: Connection) -> None:
    before = _peak()
    arm()
    receiver.send(_peak() - before)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / PER_MB
