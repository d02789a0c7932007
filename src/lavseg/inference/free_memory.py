"""Memory that C's allocator keeps after it was freed."""

import ctypes
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

Item = TypeVar("Item")
# Frames after which memory is given back: often enough for it not to add up, seldom enough to cost nothing.
EVERY = 50


def returning_free_memory(items: Iterable[Item]) -> Iterator[Item]:
    """The items, while memory that was freed goes back to the system now and then.

    The pictures of a long clip leave holes between small things that live on, and glibc's allocator keeps the holes.
    """
    for number, item in enumerate(items):
        if number % EVERY == EVERY - 1:
            return_free_memory()
        yield item


def return_free_memory() -> None:
    """Give what is free back to the system, where C's library can."""
    # Other C libraries have no such function, other systems not even this way to it.
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
