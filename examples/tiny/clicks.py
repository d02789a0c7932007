"""Synthetic clips with clicks on their objects, and the loss of the masks that a click leads to."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from lavseg.backbones.sam2.losses_sam2 import sam2_losses
from lavseg.losses import mask_iou, weighted_mean

from .processes import map_in_processes
from .silent_clips import normalize, render_silent_clip

IMAGE_SIZE = 192


@dataclass
class ClipPool:
    """Rendered clips that training draws from: `images` uint8 `[N, T, 3, S, S]`, `owners` uint8 `[N, T, S, S]`.

    `owners` holds the number of the object that a pixel shows, from 1, and 0 for background; `visible` bool `[N, T]`
    says which frames show any.
    """

    images: torch.Tensor
    owners: torch.Tensor

    def __post_init__(self):
        self.visible = self.owners.flatten(2).any(2)

    @classmethod
    def render(cls, count: int, num_frames: int, seed: int) -> "ClipPool":
        """Render `count` clips in as many processes as there are cores."""
        seeds = [(seed, num_frames, index) for index in range(count)]
        images, owners = zip(*map_in_processes(_render, seeds), strict=True)
        return cls(torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(owners)))

    def draw(
        self, rng: np.random.Generator, count: int, num_frames: int = 1, clicks: int = 1
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A batch: `T = num_frames` images in a row of each of `B = count` clips, `[B, T, 3, S, S]`; `K = clicks` on
        objects of each clip's first, `[B * K, 2]`; and the masks of those, `[B * K, T, S, S]`.

        One clip of several frames in ten is cut: its last frame comes from another clip, where the object is absent.
        """
        starts = self.visible[:, : self.visible.shape[1] - num_frames + 1].nonzero().numpy()
        rows, first = np.split(starts[rng.integers(len(starts), size=count)], 2, axis=1)
        frames = first + np.arange(num_frames)
        images, owners = self.images[rows, frames].float(), self.owners[rows, frames]
        if num_frames > 1:
            cut = torch.from_numpy(rng.random(count) < 0.1)
            images[cut, -1] = self.images[rng.integers(len(self.images), size=int(cut.sum())), -1].float()
            owners[cut, -1] = 0
        points, masks = [], []
        for owner in owners:
            pixels = owner[0].nonzero()
            for row, column in pixels[rng.integers(len(pixels), size=clicks)]:
                points.append([column + 0.5, row + 0.5])
                masks.append((owner == owner[0, row, column]).float())
        return normalize(images), torch.tensor(points), torch.stack(masks)


def _render(seed: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """One clip of `seed[1]` frames: images uint8 `[T, 3, S, S]` and owners uint8 `[T, S, S]`."""
    clip, images = render_silent_clip(seed, seed[1], IMAGE_SIZE)
    owners = torch.from_numpy(number_objects(clip.masks))[:, None]
    return images, F.interpolate(owners, images.shape[-2:], mode="nearest")[:, 0].numpy()


def number_objects(masks: np.ndarray) -> np.ndarray:
    """The number of the object that each pixel shows, from 1, and 0 for background: bool `[N, T, H, W]` -> uint8
    `[T, H, W]`."""
    return (masks * np.arange(1, len(masks) + 1, dtype=np.uint8)[:, None, None, None]).max(0)


def click_loss(
    candidates: torch.Tensor,
    iou_scores: torch.Tensor,
    object_score_logits: torch.Tensor | None,
    targets: torch.Tensor,
) -> torch.Tensor:
    """SAM2's loss on one frame: focal, dice, predicted IoU and object score 20:1:1:1. Where the object is hidden only
    the object score learns.

    Args:
        candidates: logits `[N, M, h, w]`.
        iou_scores: predicted IoU `[N, M]`.
        object_score_logits: `[N]`; None for SAM, which has none.
        targets: 0 and 1, `[N, S, S]`.
    """
    logits = _enlarge(candidates, targets)
    scores = torch.zeros_like(iou_scores[:, 0]) if object_score_logits is None else object_score_logits
    terms, visible = sam2_losses(logits, iou_scores, scores, targets), targets.flatten(1).any(1).float()
    loss = weighted_mean(20 * terms["focal"] + terms["dice"] + terms["iou"], visible)
    return loss if object_score_logits is None else loss + terms["object"].mean()


@torch.no_grad()
def mean_iou(masks: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """IoU of logits `[N, h, w]` with `targets [N, S, S]`, its mean over those where the object is visible."""
    logits = _enlarge(masks[:, None], targets)[:, 0]
    return weighted_mean(mask_iou(logits, targets), targets.flatten(1).any(1).float())


def _enlarge(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.interpolate(logits, targets.shape[-2:], mode="bilinear", align_corners=False)
