"""Means of named scalars over many batches."""

from collections.abc import Callable

import torch


class WeightedMeans:
    """Weighted means by name, summed on the device of the values, so that adding does not wait for it."""

    def __init__(self):
        self.sums: dict[str, torch.Tensor] = {}
        self.weight = 0.0

    def add(self, values: dict[str, torch.Tensor], weight: float) -> None:
        """Add scalars, the same names every time."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0) + weight * value.detach().float()
        self.weight += weight

    def compute(self, reduce: Callable[[torch.Tensor], torch.Tensor] = lambda sums: sums) -> dict[str, float]:
        """The means over everything added, empty if nothing was.

        Args:
            reduce: sums a tensor over all processes that hold a part of the batches.
        """
        if not self.sums:
            return {}
        sums = torch.stack(list(self.sums.values()))
        *totals, weight = reduce(torch.cat([sums, sums.new_tensor([self.weight])])).tolist()
        return {name: total / weight for name, total in zip(self.sums, totals, strict=True)}
