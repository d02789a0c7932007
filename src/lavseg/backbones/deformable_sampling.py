"""Deformable attention of Transformers (Zhu et al., ICLR 2021), whose samples are summed as they are read."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from transformers.models.deformable_detr.modeling_deformable_detr import MultiScaleDeformableAttention
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention,
)

from .rows import as_index


def sum_samples(
    values: torch.Tensor, sizes: Sequence[tuple[int, int]], places: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Weighted sums of what maps hold at places between their cells, bilinear, and zero outside.

    A sample is a sum of four cells, so that each result is one of `4 * points` cells for each map. They are read where
    they lie; neither a sample nor a product is kept.

    Args:
        values: `[N, L, heads, d]`, maps of several sizes one after the other along `L`.
        sizes: height and width of each map.
        places: `[N, Q, heads, maps, points, 2]`, x and y in shares of each map.
        weights: `[N, Q, heads, maps, points]`.

    Returns:
        `[N, Q, heads * d]`.
    """
    precise = torch.promote_types(values.dtype, torch.float32)
    places, weights = places.to(precise), weights.to(precise)
    count, length, heads, width = values.shape
    # Each head of each position is a row.
    rows = values.to(precise).reshape(-1, width)
    clips, of_head = (torch.arange(number, device=values.device) for number in (count, heads))
    first = (clips[:, None] * length * heads + of_head)[:, None, :, None]
    total: torch.Tensor | float = 0.0
    for level, size in enumerate(sizes):
        cells, shares = _cells(places[:, :, :, level], weights[:, :, :, level], size)
        cells, shares = (part.view(-1, part.shape[-1]) for part in (first + cells * heads, shares))
        total = total + F.embedding_bag(cells, rows, per_sample_weights=shares, mode="sum")
        first = first + size[0] * size[1] * heads
    return total.view(count, -1, heads * width).to(values.dtype)


def _cells(places: torch.Tensor, weights: torch.Tensor, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers of the cells of a map around places `[..., points, 2]`, and their shares times `weights [..., points]`,
    both `[..., 4 * points]`."""
    height, width = size
    columns, rows = _neighbours(places[..., 0], width), _neighbours(places[..., 1], height)
    cells, shares = [], []
    for row, row_share in rows:
        row_share, row = row_share * weights, row * width
        for column, column_share in columns:
            cells.append(row + column)
            shares.append(row_share * column_share)
    return torch.cat(cells, dim=-1), torch.cat(shares, dim=-1)


def _neighbours(places: torch.Tensor, edge: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The two cells of an axis that places lie between, and their shares, which are zero for cells outside."""
    exact = places * edge - 0.5
    before = exact.floor()
    share, cell = exact - before, before.long()
    found = []
    for number, part in ((cell, 1 - share), (cell + 1, share)):
        inside = number.clamp(0, edge - 1)
        found.append((inside, part * (inside == number)))
    return found


class SummedSampling(MultiScaleDeformableAttention):
    """In the place of Deformable DETR's sampling."""

    def forward(
        self,
        value: torch.Tensor,
        value_spatial_shapes: torch.Tensor,
        value_spatial_shapes_list: list[tuple[int, int]],
        level_start_index: torch.Tensor,
        sampling_locations: torch.Tensor,
        attention_weights: torch.Tensor,
        im2col_step: int,
    ) -> torch.Tensor:
        """As there, see `sum_samples`."""
        return sum_samples(value, value_spatial_shapes_list, sampling_locations, attention_weights)


class DeformableAttention(Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention):
    """Mask2Former's, in which positions look at places around themselves."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        encoder_hidden_states: torch.Tensor | None = None,
        encoder_attention_mask: None = None,
        position_embeddings: torch.Tensor | None = None,
        reference_points: torch.Tensor | None = None,
        spatial_shapes_list: Sequence[tuple[int, int]] = (),
        level_start_index: torch.Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As there: states `[N, Q, C]` at `reference_points [N, Q, maps, 2]` read `encoder_hidden_states [N, L, C]`
        where `attention_mask`, bool `[N, L]`, is not True; updated states, and the weights of what was read."""
        states = hidden_states if position_embeddings is None else hidden_states + position_embeddings
        values = self.value_proj(encoder_hidden_states)
        if attention_mask is not None:
            values = values.masked_fill(attention_mask[..., None], 0.0)
        maps = (self.n_levels, self.n_points)
        offsets = self.sampling_offsets(states).unflatten(-1, (self.n_heads, *maps, 2))
        weights = self.attention_weights(states).unflatten(-1, (self.n_heads, -1)).softmax(-1).unflatten(-1, maps)
        edges = as_index([edge for height, width in spatial_shapes_list for edge in (width, height)], states.device)
        places = reference_points[:, :, None, :, None] + offsets / edges.view(-1, 1, 2)
        summed = sum_samples(values.unflatten(-1, (self.n_heads, -1)), spatial_shapes_list, places, weights)
        return self.output_proj(summed), weights


__all__ = ["DeformableAttention", "SummedSampling", "sum_samples"]
