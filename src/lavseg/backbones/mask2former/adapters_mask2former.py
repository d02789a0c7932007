"""Bottlenecks at the projections of Mask2Former."""

import torch
from torch import nn
from transformers import initialization as init


class AdaptedProjection(nn.Module):
    """A layer of a network with a bottleneck at it: `after` it, `beside` what comes out of it, which is added, or
    `instead` of it, so that the layer is gone.

    It reads the weights of the layer alone as well; the bottleneck then stays as it is.

    Args:
        stock: the layer.
        ratio: by how much the bottleneck is narrower than what it is given.
        place: "after", "beside" or "instead".
        uniform: start from Xavier's uniform distribution, as decoders of queries do, and not from a normal one.
    """

    def __init__(self, stock: nn.Linear, ratio: int, place: str, uniform: bool = False):
        super().__init__()
        width = stock.out_features
        self.projection = None if place == "instead" else stock
        self.adapter = nn.Sequential(nn.Linear(width, width // ratio), nn.ReLU(), nn.Linear(width // ratio, width))
        self.added, self.uniform = place == "beside", uniform
        self.register_load_state_dict_pre_hook(_read_layer)

    # Transformers initialises the layer that stood here by its name.
    @property
    def weight(self) -> torch.Tensor:
        return torch.empty(1, 1) if self.projection is None else self.projection.weight

    @property
    def bias(self) -> torch.Tensor:
        return torch.empty(1) if self.projection is None else self.projection.bias

    def init_weights(self) -> None:
        """Initialise the bottleneck, where it is not done as everywhere else."""
        for layer in (self.adapter[0], self.adapter[2]) if self.uniform else ():
            init.xavier_uniform_(layer.weight)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """`[..., C]` to `[..., C]`."""
        if self.projection is not None:
            states = self.projection(states)
        adapted = self.adapter(states)
        return states + adapted if self.added else adapted


def _read_layer(module: AdaptedProjection, state: dict[str, torch.Tensor], prefix: str, *args) -> None:
    """Let `load_state_dict` read the layer without a bottleneck."""
    stock = {name: state.pop(prefix + name) for name in ("weight", "bias") if prefix + name in state}
    if stock:
        state.update(module.adapter.state_dict(prefix=f"{prefix}adapter."))
    if module.projection is not None:
        state.update({f"{prefix}projection.{name}": value for name, value in stock.items()})


__all__ = ["AdaptedProjection"]
