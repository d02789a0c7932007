"""Work on all cores that does not wait for one."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any


def map_in_processes(
    function: Callable, tasks: Sequence, progress: Callable[[Sequence], Iterable] | None = None, chunk: int = 16
) -> Iterator[Any]:
    """What `function` returns for each task, in their order, from as many processes as there are cores.

    Args:
        progress: wraps the tasks while they are worked on, e.g. `rich.progress.track`.
    """
    # Forked workers inherit torch's thread pool in an unusable state.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as workers:
        results = workers.map(function, tasks, chunksize=chunk)
        for _, result in zip(progress(tasks) if progress else tasks, results, strict=True):
            yield result
