"""Runs the cells of a benchmark one at a time, each in a fresh process, and keeps what they give in a file."""

import json
import signal
from collections.abc import Callable, Iterable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


def run_cells(cells: Iterable[dict[str, Any]], measure: Callable[..., dict], file: Path) -> list[dict[str, Any]]:
    """Measure each of the cells that `file` has no result of, and add a JSON line to it as soon as one is done.

    A cell whose process dies gets that as its result, `{"died": why}`. The others go on, and it is tried again when
    this is called again.

    Args:
        cells: arguments of `measure` by name.
        measure: a function of a module; gives numbers by name.
        file: of JSON lines; may not exist yet.

    Returns:
        The cells in their order, each with its results.
    """
    known = read_results(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    reports = []
    for cell in cells:
        report = known.get(_name(cell))
        if report is None or "died" in report["result"]:
            report = {"cell": cell, "result": in_own_process(measure, **cell)}
            line = json.dumps(report, allow_nan=False)
            with file.open("a") as lines:
                print(line, file=lines)
            print(line, flush=True)
        reports.append({**report["cell"], **report["result"]})
    return reports


def read_results(file: Path) -> dict[str, dict[str, Any]]:
    """What a file of `run_cells` says of each cell, its last line about it."""
    lines = file.read_text().splitlines() if file.exists() else []
    reports = [json.loads(line) for line in lines]
    return {_name(report["cell"]): report for report in reports}


def _name(cell: dict[str, Any]) -> str:
    return json.dumps(cell, sort_keys=True)


def in_own_process(function: Callable, *args: Any, **kwargs: Any) -> Any:
    """What a function gives in a fresh process, or `{"died": why}` where that ends without giving anything.

    The peak memory of a process never goes down, and it begins with the size of its parent as its peak.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, function, args, kwargs))
    process.start()
    sender.close()
    try:
        result = receiver.recv()
    except EOFError:
        result = None
    process.join()
    return result if process.exitcode == 0 else {"died": _reason(process.exitcode)}


def _send(sender: Connection, function: Callable, args: tuple, kwargs: dict[str, Any]) -> None:
    sender.send(function(*args, **kwargs))


def _reason(status: int) -> str:
    if status == -signal.SIGKILL:
        return "killed by SIGKILL, as where memory runs out"
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}, see what it printed"
