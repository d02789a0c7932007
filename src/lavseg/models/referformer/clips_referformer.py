"""What ReferFormer knows of clips on its way from frames to masks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .configuration_referformer import SHORTEST_EDGE
from .head_referformer import MASK_STRIDE
from .transformer_referformer import FrameLevels, FrameQueries


@dataclass(frozen=True, eq=False)
class SeenClips:
    """What is made of `B` clips of `T` frames before a sentence is read.

    levels: the projected maps of the `B T` frames at strides 8 to 64.
    finest: tokens `[B, T h w, C]` at stride 4, see `ReferFormerPyramid`.
    positions: codes `[B, C, h, w]` at strides 32 to 4; masks: bool `[B, T, h, w]` likewise, None where all is real.
    extents: `[B, 2]`, width and height in pixels of each clip's frames on the canvas.
    query_sounds: `[B, T, C]`, what the sound of each frame adds to its queries, and
    heard: `[B T, L, C]`, what positions of `levels` read from the sounds; both None where nothing is heard.
    """

    levels: FrameLevels
    finest: torch.Tensor
    positions: list[torch.Tensor]
    masks: list[torch.Tensor | None]
    extents: torch.Tensor
    query_sounds: torch.Tensor | None = None
    heard: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class ClipAnswers:
    """What is found for one sentence of each of `B` clips.

    queries: what the queries say after each layer, of the `B T` frames.
    chosen: `[B]`, the query whose track is the answer.
    masks: `[B, T, h, w]`, its mask logits.
    layers: `[B, T, Q, h, w]`, mask logits of all queries after each layer, or after the last alone; or nothing.
    absent: `[B]`, logits that the object is not in the clip at all; None without R2VOS' classifier.
    """

    queries: list[FrameQueries]
    chosen: torch.Tensor
    masks: torch.Tensor
    layers: list[torch.Tensor]
    absent: torch.Tensor | None


def clip_sizes(
    pixel_values: torch.Tensor | None,
    pixel_mask: torch.Tensor | None,
    image_embeddings: Sequence[torch.Tensor] | None = None,
) -> list[tuple[int, int]]:
    """Height and width of each clip's frames on the canvas; waits for the mask.

    Raises:
        ValueError: when the mask does not fit, is no rectangle in the corner or is given with embeddings, or frames
            are too small.
    """
    if pixel_values is None:
        if pixel_mask is not None:
            raise ValueError("pixel_mask: goes with pixel_values; leave it out where image_embeddings are given")
        return [(int(height), int(width)) for width, height in image_embeddings[-1][:, 0].tolist()]
    clips, (height, width) = len(pixel_values), pixel_values.shape[-2:]
    sizes = [(height, width)] * clips
    if pixel_mask is not None:
        if pixel_mask.dtype != torch.bool or pixel_mask.shape != (clips, height, width):
            raise ValueError(
                f"pixel_mask: has to be bool {[clips, height, width]} as the frames, got {pixel_mask.dtype} "
                f"{list(pixel_mask.shape)}"
            )
        edges = pixel_mask[:, :, 0].sum(1), pixel_mask[:, 0].sum(1)
        rows, columns = (
            torch.arange(end, device=edge.device) < edge[:, None]
            for end, edge in zip((height, width), edges, strict=True)
        )
        if not torch.equal(pixel_mask, rows[:, :, None] & columns[:, None]):
            raise ValueError("pixel_mask: has to be True in a rectangle from the upper left corner on, else False")
        sizes = list(zip(*(edge.tolist() for edge in edges), strict=True))
    if any(min(size) < SHORTEST_EDGE for size in sizes):
        raise ValueError(f"pixel_values: height and width have to be {SHORTEST_EDGE} at least, got {sizes}")
    return sizes


def of_frames(values: torch.Tensor, length: int) -> torch.Tensor:
    """Values `[B, ...]` of clips for each of their `length` frames, `[B T, ...]`."""
    return values[:, None].expand(-1, length, *values.shape[1:]).flatten(0, 1)


def mask_of(pixel_mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A mask bool `[B, H, W]` at the size of a map."""
    return F.interpolate(pixel_mask[:, None].float(), size, mode="nearest")[:, 0] > 0


def mean_chance(logits: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
    """Mean probability `[..., Q]` of logits `[..., T, Q]` over the frames that bool `[..., T]` says are real."""
    chances = logits.to(torch.promote_types(logits.dtype, torch.float32)).sigmoid() * frame_mask[..., None]
    return chances.sum(-2) / frame_mask.sum(-1, keepdim=True)


def choose(logits: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
    """The query `[B]` of the highest mean probability, of logits `[B, T, Q]`."""
    return mean_chance(logits, frame_mask).argmax(-1)


def of_query(values: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Values `[B, T, ...]` of the chosen query out of `[B, T, Q, ...]`."""
    return values.take_along_dim(chosen.view(-1, *[1] * (values.dim() - 1)), 2)[:, :, 0]


def fill_canvas(masks: torch.Tensor, sizes: list[tuple[int, int]]) -> torch.Tensor:
    """Masks `[B, E, T, h, w]` in which those of clips with padding, of `sizes` in pixels, fill the canvas."""
    filled = []
    for clip, size in zip(masks, sizes, strict=True):
        height, width = (math.ceil(edge / MASK_STRIDE) for edge in size)
        real = clip[..., :height, :width]
        filled.append(real if real.shape == clip.shape else F.interpolate(real, clip.shape[-2:], mode="bilinear"))
    return torch.stack(filled)


__all__ = [
    "ClipAnswers",
    "SeenClips",
    "choose",
    "clip_sizes",
    "fill_canvas",
    "mask_of",
    "mean_chance",
    "of_frames",
    "of_query",
]
