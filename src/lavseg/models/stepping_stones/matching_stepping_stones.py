"""Which query learns which mask: the assignment of least cost."""

import numpy as np
import torch
from transformers.models.mask2former.modeling_mask2former import (
    pair_wise_dice_loss,
    pair_wise_sigmoid_cross_entropy_loss,
)

# Of the published matcher, whose weight of classes is not that of the loss.
CLASS_COST, MASK_COST, DICE_COST = 1.0, 5.0, 5.0


def cheapest_assignment(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows and columns, none of them twice, whose costs have the least sum (Jonker and Volgenant, 1987).

    Args:
        costs: finite `[R, C]`.

    Returns:
        Rows and columns of `min(R, C)` pairs, rows ascending.
    """
    if costs.shape[0] > costs.shape[1]:
        columns, rows = cheapest_assignment(costs.T)
        order = rows.argsort()
        return rows[order], columns[order]
    count, width = costs.shape
    # Column 0 stands for a row that looks for its column; entry 0 of `owner` is that row, counted from 1.
    owner = np.zeros(width + 1, dtype=int)
    of_rows, of_columns = np.zeros(count + 1), np.zeros(width + 1)
    for row in range(1, count + 1):
        owner[0], column = row, 0
        slack, seen = np.full(width + 1, np.inf), np.zeros(width + 1, dtype=bool)
        before = np.zeros(width + 1, dtype=int)
        while owner[column]:
            seen[column] = True
            reduced = costs[owner[column] - 1] - of_rows[owner[column]] - of_columns[1:]
            nearer = np.append(False, ~seen[1:] & (reduced < slack[1:]))
            slack[nearer], before[nearer] = reduced[nearer[1:]], column
            following = np.where(seen, np.inf, slack)[1:].argmin() + 1
            step = slack[following]
            of_rows[owner[seen]] += step
            of_columns[seen] -= step
            slack[~seen] -= step
            column = following
        while column:
            owner[column], column = owner[before[column]], before[column]
    columns = owner[1:].nonzero()[0]
    rows = owner[1:][columns] - 1
    order = rows.argsort()
    return rows[order], columns[order]


def matching_costs(
    class_logits: torch.Tensor, point_logits: torch.Tensor, classes: torch.Tensor, truth: torch.Tensor
) -> torch.Tensor:
    """Costs `[Q, M]` for `Q` queries to be matched with `M` masks of one frame.

    Args:
        class_logits: `[Q, C + 1]`.
        point_logits: `[Q, P]`, mask logits at `P` points.
        classes: long `[M]`.
        truth: `[M, P]`, masks at the points.
    """
    costs = -CLASS_COST * class_logits.softmax(-1)[:, classes]
    costs = costs + MASK_COST * pair_wise_sigmoid_cross_entropy_loss(point_logits, truth)
    costs = costs + DICE_COST * pair_wise_dice_loss(point_logits, truth)
    return costs.nan_to_num(*[torch.finfo(torch.float32).max] * 3)


__all__ = ["cheapest_assignment", "matching_costs"]
