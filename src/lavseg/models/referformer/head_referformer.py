"""ReferFormer's mask head: each query brings the weights of a small network that finds its mask."""

import torch
from torch import nn

from .configuration_referformer import ReferFormerConfig
from .transformer_referformer import ReferFormerMLP

# Of the mask features, in pixels of the input.
MASK_STRIDE = 4


def head_sizes(width: int, hidden: int) -> list[int]:
    """How many numbers there are of each kind: weights of three layers, then their biases. The first layer also sees
    how far a pixel lies to the left of and above the query's box centre."""
    return [hidden * (width + 2), hidden * hidden, hidden, hidden, hidden, 1]


class ReferFormerMaskHead(nn.Module):
    """Makes the small networks out of the queries' states, and runs them."""

    def __init__(self, config: ReferFormerConfig):
        super().__init__()
        self.width, self.hidden = config.hidden_size, config.mask_hidden_size
        self.controller = ReferFormerMLP(*[self.width] * 3, sum(head_sizes(self.width, self.hidden)))

    def forward(self, states: torch.Tensor, features: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
        """Mask logits `[N, Q, h, w]`.

        Args:
            states: `[N, Q, C]`.
            features: `[N, C, h, w]`, mask features of `N` frames.
            centres: `[N, Q, 2]`, x and y of the box centres in pixels of the input.
        """
        return self.masks(self.controller(states), features, centres)

    def masks(self, weights: torch.Tensor, features: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
        """As `forward`, from what the controller gives, `weights [N, Q, W]`. Distances reach hundreds of pixels, so
        that nothing is done in less than single precision."""
        precise = torch.promote_types(weights.dtype, torch.float32)
        with torch.autocast(weights.device.type, enabled=False):
            return self._masks(weights.to(precise), features.to(precise), centres.to(precise))

    def _masks(self, weights: torch.Tensor, features: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
        parts = weights.split(head_sizes(self.width, self.hidden), dim=-1)
        sizes = (self.hidden, self.hidden, 1)
        first, second, third = (part.unflatten(-1, (n, -1)) for part, n in zip(parts[:3], sizes, strict=True))
        bias1, bias2, bias3 = (part[..., None, None] for part in parts[3:])
        # The features, shared by all queries, and the two distances, which are sums of a row and a column, apart.
        by_features, by_place = first.split([self.width, 2], dim=-1)
        rows, columns = (
            MASK_STRIDE * torch.arange(edge, dtype=features.dtype, device=features.device) + MASK_STRIDE / 2
            for edge in features.shape[-2:]
        )
        across = by_place[..., 0, None] * (centres[..., 0, None] - columns)[:, :, None]
        down = by_place[..., 1, None] * (centres[..., 1, None] - rows)[:, :, None]
        seen = torch.einsum("nqkc,nchw->nqkhw", by_features, features)
        hidden = (seen + across[..., None, :] + down[..., None] + bias1).relu()
        hidden = (torch.einsum("nqjk,nqkhw->nqjhw", second, hidden) + bias2).relu()
        return (torch.einsum("nqjk,nqkhw->nqjhw", third, hidden) + bias3)[:, :, 0]


__all__ = ["ReferFormerMaskHead"]
