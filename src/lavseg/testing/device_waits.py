"""Counts where the host waits for the device, on any device, a CPU included."""

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# Operators whose result the host reads, or whose shape depends on values; `tolist` is none on a CPU.
_READ = {"_local_scalar_dense", "equal"}
_SHAPED_BY_VALUES = {"nonzero", "masked_select", "_unique", "_unique2", "unique_dim", "unique_consecutive"}
_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
_METHODS = {"tolist", "numpy", "cpu"}


class DeviceWaits:
    """Inside, `counts` grows by one at each wait, under the name of what waits.

    What the host reads before anything is encoded costs nothing and is passed over: counting starts with the first
    convolution or, with `from_the_start`, at once.

    ```python
    with DeviceWaits() as waits:
        model(**inputs)
    assert not waits.counts
    ```
    """

    def __init__(self, from_the_start: bool = False):
        self.counts: dict[str, int] = {}
        self.counting = from_the_start
        self._modes = (_Operators(self), _Methods(self))

    def __enter__(self) -> "DeviceWaits":
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*raised)

    def add(self, name: str) -> None:
        """Count a wait."""
        if self.counting:
            self.counts[name] = self.counts.get(name, 0) + 1


class _Operators(TorchDispatchMode):
    def __init__(self, waits: DeviceWaits):
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = func.overloadpacket.__name__
        repeats = func is torch.ops.aten.repeat_interleave.Tensor and not (kwargs or {}).get("output_size")
        if name in _READ | _SHAPED_BY_VALUES or repeats or (name in _INDEXING and _has_mask(args[1])):
            self.waits.add(name)
        self.waits.counting |= name == "convolution"
        return func(*args, **(kwargs or {}))


class _Methods(TorchFunctionMode):
    def __init__(self, waits: DeviceWaits):
        super().__init__()
        self.waits = waits

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _METHODS:
            self.waits.add(name)
        return func(*args, **(kwargs or {}))


def _has_mask(indices: list[torch.Tensor | None]) -> bool:
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)
