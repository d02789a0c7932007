"""Synthetic frames in which every pixel's category is known, and what tiny encoders learn from them that have neither
clicks nor memory: the hosts of methods without SAM.

As their published counterparts know ImageNet or ADE20K, they know all of the drawn band before a method begins.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lavseg import TpaviConfig
from lavseg.backbones.mask2former.modeling_mask2former import PromptedMask2Former
from lavseg.backbones.pyramids import PvtV2Pyramid, ResNetPyramid, build_pyramid
from lavseg.data import BAND
from lavseg.losses import mask_dice, weighted_mean

from .configurations import nano_mask2former_config, tiny_config, tiny_pyramid_config
from .optimization import OnLog, collect_log, optimize, reset_layers
from .processes import map_in_processes
from .silent_clips import normalize, render_silent_clip

IMAGE_SIZE = 128
BATCH, PEAK_RATE = 32, 2e-3
_WIDTHS = [16, 32, 64, 96]
WIDER_PYRAMIDS = {
    "pvt_v2": {"hidden_sizes": _WIDTHS, "num_attention_heads": [1, 1, 2, 4], "mlp_ratios": [4, 4, 4, 4]},
    "resnet": {"hidden_sizes": _WIDTHS, "embedding_size": 16, "layer_type": "basic"},
}


@dataclass
class CategoryFrames:
    """Rendered frames: `images` uint8 `[N, 3, S, S]`, and `shown` uint8 `[N, S, S]`, the number of the category that
    each pixel shows, from 1, and 0 for background."""

    images: torch.Tensor
    shown: torch.Tensor

    @classmethod
    def render(cls, count: int, seed: int) -> "CategoryFrames":
        """Render `count` frames in as many processes as there are cores."""
        tasks = [(seed, 7, index) for index in range(count)]
        return cls(*(torch.from_numpy(np.stack(part)) for part in zip(*map_in_processes(_render, tasks), strict=True)))

    def batches(self, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Normalised frames `[B, 3, S, S]` and what they show, `[B, S, S]`, without end."""
        rng = np.random.default_rng([seed, 7])
        while True:
            rows = torch.from_numpy(rng.integers(len(self.images), size=BATCH))
            yield normalize(self.images[rows].float()), self.shown[rows].long()


def _render(seed: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    clip, images = render_silent_clip(seed, 1, IMAGE_SIZE)
    numbers = np.array([BAND.index(item.category) + 1 for item in clip.objects], np.uint8)
    shown = torch.from_numpy((clip.masks[:, 0] * numbers[:, None, None]).max(0))
    return images[0], F.interpolate(shown[None, None], images.shape[-2:], mode="nearest")[0, 0].numpy()


def train_pyramid(
    seed: int,
    steps: int,
    frames: int = 4000,
    on_log: OnLog = lambda entry: None,
    model_type: Literal["pvt_v2", "resnet"] = "pvt_v2",
) -> tuple[PvtV2Pyramid | ResNetPyramid, list[dict]]:
    """A PVT v2 or ResNet of half a million parameters each of whose four maps tells what is where, and a log of
    `{step, loss, hits}`.

    Args:
        on_log: called with each new entry of the log.
    """
    torch.manual_seed(seed)
    wider = WIDER_PYRAMIDS[model_type]
    config = tiny_config(TpaviConfig, vision_config={**tiny_pyramid_config(model_type), **wider}).vision_config
    pyramid = build_pyramid(config)
    heads = nn.ModuleList(nn.Conv2d(width, len(BAND) + 1, 1) for width in _WIDTHS)

    def terms(images: torch.Tensor, shown: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = [head(maps) for head, maps in zip(heads, pyramid(images).feature_maps, strict=True)]
        targets = [F.interpolate(shown[:, None].float(), each.shape[-2:]).long()[:, 0] for each in logits]
        losses = [F.cross_entropy(*pair) for pair in zip(logits, targets, strict=True)]
        return {"loss": sum(losses), "hits": _hits(logits[2].argmax(1), targets[2])}

    return pyramid, _fit([pyramid, heads], terms, seed, steps, frames, on_log)


def train_mask2former(
    seed: int, steps: int, frames: int = 4000, on_log: OnLog = lambda entry: None
) -> tuple[PromptedMask2Former, list[dict]]:
    """A Mask2Former with Swin of a million parameters whose queries each stand for a category and find its objects,
    and a log of `{step, loss, hits}`. Its one class says whether there are any.

    Args:
        on_log: called with each new entry of the log.
    """
    torch.manual_seed(seed)
    config = nano_mask2former_config(width=64, swin_width=24, num_queries=len(BAND), num_labels=1)
    host = PromptedMask2Former(config)
    reset_layers(host.model.pixel_level_module.encoder)

    def terms(images: torch.Tensor, shown: torch.Tensor) -> dict[str, torch.Tensor]:
        found = host.decode(host(images), host.start_queries(images.device).expand(len(images), -1, -1))
        shown = F.interpolate(shown[:, None].float(), found.masks.shape[-2:])[:, 0].long()
        targets = F.one_hot(shown, len(BAND) + 1)[..., 1:].permute(0, 3, 1, 2).float()
        present = targets.flatten(2).any(2)
        logits = torch.cat([torch.zeros_like(found.masks[:, :1]), found.masks], 1)
        losses = [
            # With a binary loss for each query, all of them only learn to stay empty.
            F.cross_entropy(logits, shown),
            weighted_mean(mask_dice(found.masks, targets), present.float()),
            F.cross_entropy(found.class_logits.flatten(0, 1), (~present).long().flatten()),
        ]
        return {"loss": sum(losses), "hits": _hits(logits.argmax(1), shown)}

    return host, _fit([host], terms, seed, steps, frames, on_log)


def _hits(found: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """The share of places with an object whose category is found."""
    objects = shown > 0
    return ((found == shown) & objects).sum() / objects.sum().clamp(min=1)


def _fit(
    modules: list[nn.Module],
    terms: Callable[[torch.Tensor, torch.Tensor], dict[str, torch.Tensor]],
    seed: int,
    steps: int,
    frames: int,
    on_log: OnLog,
) -> list[dict]:
    """Train `modules` in place; returns the log."""
    batches = CategoryFrames.render(frames, seed).batches(seed)
    parameters = [parameter for module in modules for parameter in module.train().parameters()]
    entries = optimize(parameters, lambda: terms(*next(batches)), PEAK_RATE, steps, "categories")
    log = collect_log(entries, on_log)
    for module in modules:
        module.eval()
    return log
