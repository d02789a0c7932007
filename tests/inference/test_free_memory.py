"""Memory that C's allocator keeps after it was freed."""

import ctypes
import mmap
import sys
from pathlib import Path

import pytest

from lavseg.inference import free_memory
from lavseg.inference.free_memory import EVERY, return_free_memory, returning_free_memory


def test_all_items_come_and_memory_goes_back_now_and_then(monkeypatch):
    returned = []
    monkeypatch.setattr(free_memory, "return_free_memory", lambda: returned.append(True))
    assert list(returning_free_memory(iter(range(3 * EVERY)))) == list(range(3 * EVERY)) and len(returned) == 3


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library keeps what it keeps")
def test_holes_between_what_lives_on_go_back():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    assert sys.platform == "linux"
    c = ctypes.CDLL(None)
    c.malloc.restype, c.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    # Below the size from which the allocator asks the system for each block.
    blocks = [c.malloc(100_000) for _ in range(1000)]
    for block in blocks:
        ctypes.memset(block, 1, 100_000)
    for block in blocks[:-1]:
        c.free(block)
    before = resident()
    return_free_memory()
    assert before - resident() > 80e6
    c.free(blocks[-1])
