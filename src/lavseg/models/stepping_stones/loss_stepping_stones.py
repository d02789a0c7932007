"""The loss of Stepping-Stones, which is Mask2Former's: masks of the classes in a frame are matched with queries."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers.models.mask2former.modeling_mask2former import dice_loss, sample_point, sigmoid_cross_entropy_loss

from ...backbones.mask2former.modeling_mask2former import QueryPredictions
from .matching_stepping_stones import cheapest_assignment, matching_costs

# Of the published loss: points of each mask, how many more the most uncertain are chosen of, their share, and the
# weight of no object.
POINTS, OVERSAMPLED, IMPORTANT, NULL_WEIGHT = 12544, 3, 0.75, 0.1


@dataclass(frozen=True, eq=False)
class FrameTargets:
    """The masks of `N` frames, one for each class that a frame shows, background included: `M` in all, frame by frame,
    classes ascending.

    frames: long `[M]`, the frame of each mask.
    classes: long `[M]`.
    masks: bool `[M, H, W]`.
    counts: how many each frame has.
    """

    frames: torch.Tensor
    classes: torch.Tensor
    masks: torch.Tensor
    counts: list[int]

    @classmethod
    def of(cls, class_maps: torch.Tensor, size: int, num_classes: int) -> "FrameTargets":
        """Those of class ids `[N, h, w]`, which are brought to `size x size`; waits for their device."""
        maps = F.interpolate(class_maps[:, None].float(), (size, size), mode="nearest-exact")[:, 0].long()
        shown = torch.zeros(len(maps), num_classes, dtype=torch.bool, device=maps.device)
        shown.scatter_(1, maps.flatten(1), True)
        frames, classes = shown.nonzero(as_tuple=True)
        return cls(frames, classes, maps[frames] == classes[:, None, None], shown.sum(1).tolist())


def clip_losses(levels: list[QueryPredictions], targets: FrameTargets) -> dict[str, torch.Tensor]:
    """Terms of the loss on the frames of a clip, each summed over what queries predict at all `levels`, the last layer
    first: `class`, a cross-entropy over all queries, and `mask` and `dice`, which are sums over masks divided by their
    number in the clip."""
    parts = [level_losses(level, targets) for level in (levels[-1], *levels[:-1])]
    return {name: sum(part[name] for part in parts) for name in parts[0]}


def level_losses(found: QueryPredictions, targets: FrameTargets) -> dict[str, torch.Tensor]:
    """The terms for what queries predict at one level; its points are drawn here."""
    precise = torch.promote_types(found.masks.dtype, torch.float32)
    class_logits, masks = found.class_logits.to(precise), found.masks.to(precise)
    frames, queries, matched = match(class_logits, masks, targets)
    truth = targets.masks[matched].to(precise)[:, None]
    logits = masks[frames, queries][:, None]
    with torch.no_grad():
        points = uncertain_points(logits)
        point_truth = sample_point(truth, points, align_corners=False)[:, 0]
    point_logits = sample_point(logits, points, align_corners=False)[:, 0]
    expected = targets.classes.new_full(class_logits.shape[:2], class_logits.shape[-1] - 1)
    expected[frames, queries] = targets.classes[matched]
    weights = class_logits.new_ones(class_logits.shape[-1])
    weights[-1] = NULL_WEIGHT
    return {
        "class": F.cross_entropy(class_logits.transpose(1, 2), expected, weights),
        "mask": sigmoid_cross_entropy_loss(point_logits, point_truth, len(targets.classes)),
        "dice": dice_loss(point_logits, point_truth, len(targets.classes)),
    }


@torch.no_grad()
def match(
    class_logits: torch.Tensor, masks: torch.Tensor, targets: FrameTargets
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Frames, queries and masks, numbers of `targets`, that belong together, frame by frame, queries ascending; waits
    for the device once a frame."""
    pairs, start = [], 0
    for frame, count in enumerate(targets.counts):
        points = torch.rand(1, POINTS, 2, device=masks.device).to(masks.dtype)
        own = slice(start, start + count)
        seen, wanted = (
            sample_point(each[:, None], points.expand(len(each), -1, -1), align_corners=False)[:, 0]
            for each in (masks[frame], targets.masks[own].to(masks.dtype))
        )
        costs = matching_costs(class_logits[frame], seen, targets.classes[own], wanted)
        queries, found = cheapest_assignment(costs.cpu().double().numpy())
        pairs += [(frame, query, start + mask) for query, mask in zip(queries, found, strict=True)]
        start += count
    return torch.tensor(pairs, device=masks.device).unbind(1)


def uncertain_points(logits: torch.Tensor) -> torch.Tensor:
    """Points `[M, P, 2]`, from 0 to 1, where mask logits `[M, 1, h, w]` are nearest to zero among more that are drawn,
    and some that are drawn anywhere."""
    count = int(IMPORTANT * POINTS)
    drawn = torch.rand(len(logits), OVERSAMPLED * POINTS, 2, device=logits.device).to(logits.dtype)
    certain = sample_point(logits, drawn, align_corners=False)[:, 0].abs()
    nearest = certain.neg().topk(count, dim=1).indices
    chosen = drawn.take_along_dim(nearest[..., None], 1)
    anywhere = torch.rand(len(logits), POINTS - count, 2, device=logits.device).to(logits.dtype)
    return torch.cat([chosen, anywhere], dim=1)


__all__ = ["FrameTargets", "clip_losses"]
