"""Train the smallest SAM2 host on synthetic clips from clicks, as SAM2 itself was trained before any method used it.

A click on one object of the first frame, the object tracked through the following ones, SAM2's own losses; then the
same from the object's mask.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import Progress
from tiny.configurations import nano_sam2_config
from tiny_training import OneCycle, reset_layers
from torch import nn
from transformers import Sam2VideoModel
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from lavseg.backbones.sam2.attention_sam2 import use_faster_blocks
from lavseg.backbones.sam2.encoder_sam2 import encode_images
from lavseg.backbones.sam2.tracking_sam2 import (
    ImageFeatures,
    MaskPrediction,
    Memory,
    Sam2Tracker,
    project_features,
    propagate,
)
from lavseg.data import render_clip
from lavseg.losses import mask_dice, mask_iou, weighted_mean

IMAGE_SIZE = 128

# Single frames first; tracking is learnt from pairs of frames, where a higher rate gets it off the ground.
STAGES = (
    {"num_frames": 1, "steps": 1500, "batch": 16, "peak_rate": 5e-4},
    {"num_frames": 2, "steps": 800, "batch": 16, "peak_rate": 8e-4},
    {"num_frames": 4, "steps": 300, "batch": 8, "peak_rate": 3e-4},
    # A frame remembers six before it: with shorter clips the older slots would stay untrained.
    {"num_frames": 10, "steps": 900, "batch": 6, "peak_rate": 5e-4},
    # At last the small part that reads masks, with all others as they are.
    {"num_frames": 4, "steps": 300, "batch": 8, "peak_rate": 1e-2, "prompt": "mask"},
)


def build_host(seed: int) -> Sam2VideoModel:
    """An untrained host."""
    torch.manual_seed(seed)
    config = nano_sam2_config(IMAGE_SIZE)
    config.memory_attention_dropout = config.memory_attention_rope_dropout = 0.0
    sam = Sam2VideoModel(config)
    reset_layers(sam)
    for layer in sam.memory_encoder.memory_fuser.layers:
        nn.init.constant_(layer.scale, 0.1)
    for parameter in (sam.memory_temporal_positional_encoding, sam.no_memory_embedding, sam.no_object_pointer):
        nn.init.normal_(parameter, std=0.02)
    code = sam.shared_image_embedding.positional_embedding
    sam.prompt_encoder.shared_embedding.positional_embedding.copy_(code)
    use_faster_blocks(sam)
    return sam


@dataclass
class ClipPool:
    """Rendered clips that training draws from: `images` uint8 `[N, T, 3, S, S]`, `owners` uint8 `[N, T, S, S]`.

    `owners` holds the number of the object that a pixel shows, from 1, and 0 for background.
    """

    images: torch.Tensor
    owners: torch.Tensor

    @classmethod
    def render(cls, count: int, num_frames: int, seed: int) -> "ClipPool":
        """Render `count` clips in as many processes as there are cores."""
        seeds = [(seed, num_frames, index) for index in range(count)]
        # Forked workers inherit torch's thread pool in an unusable state.
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as workers:
            images, owners = zip(*workers.map(_render, seeds, chunksize=64), strict=True)
        return cls(torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(owners)))

    def draw(self, rng: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A batch: images `[B, T, 3, S, S]`, a click `[B, 2]` on an object of frame 0, its masks `[B, T, S, S]`.

        One clip of several frames in ten is cut: its last frame comes from another clip, where the object is absent.
        """
        rows = rng.integers(len(self.images), size=count)
        images, owners = self.images[rows].float(), self.owners[rows].clone()
        if images.shape[1] > 1:
            cut = torch.from_numpy(rng.random(count) < 0.1)
            images[cut, -1] = self.images[rng.integers(len(self.images), size=int(cut.sum())), -1].float()
            owners[cut, -1] = 0
        clicks, masks = [], []
        for owner in owners:
            pixels = owner[0].nonzero()
            row, column = pixels[rng.integers(len(pixels))]
            clicks.append([column + 0.5, row + 0.5])
            masks.append((owner == owner[0, row, column]).float())
        mean, std = (
            torch.tensor(values).view(3, 1, 1) * 255 for values in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        )
        return (images - mean) / std, torch.tensor(clicks), torch.stack(masks)


def _render(seed: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """One clip of `seed[1]` frames: images uint8 `[T, 3, S, S]` and owners uint8 `[T, S, S]`."""
    torch.set_num_threads(1)
    clip = render_clip(np.random.default_rng(seed), seed[1])
    owners = (clip.masks * np.arange(1, len(clip.masks) + 1, dtype=np.uint8)[:, None, None, None]).max(0)
    size = (IMAGE_SIZE, IMAGE_SIZE)
    images = F.interpolate(torch.from_numpy(clip.frames).permute(0, 3, 1, 2), size, mode="bilinear", antialias=True)
    owners = F.interpolate(torch.from_numpy(owners)[:, None], size, mode="nearest")[:, 0]
    return images.numpy(), owners.numpy()


def encode_frames(sam: Sam2VideoModel, images: torch.Tensor) -> list[ImageFeatures]:
    """Features of each frame of `images [B, T, 3, S, S]`."""
    maps = encode_images(sam, images.flatten(0, 1))
    return [
        project_features(sam, tuple(feature.unflatten(0, images.shape[:2])[:, frame] for feature in maps))
        for frame in range(images.shape[1])
    ]


def track_clicks(sam: Sam2VideoModel, images: torch.Tensor, clicks: torch.Tensor) -> list[MaskPrediction]:
    """Predictions of every frame of `images [B, T, 3, S, S]` from one click `[B, 2]` on the first."""
    labels = torch.ones(len(clicks), 1, 1, dtype=torch.int32)
    sparse = sam.prompt_encoder(clicks[:, None, None], labels, None, None)[0][:, 0]
    tracker = Sam2Tracker(sam, images.shape[1])
    return [prediction for _, prediction in propagate(tracker, encode_frames(sam, images).__getitem__, sparse)]


def track_masks(sam: Sam2VideoModel, images: torch.Tensor, masks: torch.Tensor) -> list[MaskPrediction]:
    """Predictions of every frame of `images [B, T, 3, S, S]` from the masks `[B, S, S]` of the first."""
    features, tracker = encode_frames(sam, images), Sam2Tracker(sam, images.shape[1])
    predictions = [tracker.decode_mask(features[0], masks > 0)]
    memory = Memory(prompted={0: tracker.encode_mask(features[0], masks > 0)})
    for frame in range(1, len(features)):
        predictions.append(tracker.track(features[frame], memory, frame))
        memory = tracker.remember(memory, frame, features[frame], predictions[-1])
    return predictions


def sam2_loss(prediction: MaskPrediction, targets: torch.Tensor) -> torch.Tensor:
    """SAM2's loss on one frame against `targets [N, S, S]`: focal, dice, IoU and object score 20:1:1:1.

    Of the three masks the best one learns; mask terms count where the object is shown.
    """
    logits = F.interpolate(prediction.candidates, targets.shape[-2:], mode="bilinear", align_corners=False)
    every = targets[:, None].expand_as(logits)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, every, reduction="none")
    probability = torch.where(every > 0, logits.sigmoid(), 1 - logits.sigmoid())
    weight = torch.where(every > 0, 0.25, 0.75) * (1 - probability) ** 2
    cost = 20 * (weight * cross_entropy).mean((-2, -1)) + mask_dice(logits, every)
    shown = targets.flatten(1).any(1).to(logits.dtype)
    mask_cost = weighted_mean(cost.min(1).values, shown)
    iou_cost = weighted_mean((prediction.candidate_scores - mask_iou(logits, every)).abs().mean(1), shown)
    object_cost = F.binary_cross_entropy_with_logits(prediction.object_score_logits, shown)
    return mask_cost + iou_cost + object_cost


def train(
    sam: Sam2VideoModel,
    clips: int,
    num_frames: int,
    steps: int,
    batch: int,
    peak_rate: float,
    seed: int,
    prompt: str = "click",
) -> list[dict]:
    """Train on so many clips of `num_frames` frames; returns a log of `{prompt, frames, step, loss, iou, seconds}`.

    From a "click" everything learns, from a "mask" only what reads it.
    """
    pool, rng, log = ClipPool.render(clips, num_frames, seed), np.random.default_rng(seed), []
    sam.requires_grad_(prompt == "click")
    for part in (sam.mask_downsample, sam.prompt_encoder.mask_embed):
        part.requires_grad_(True)
    parameters = [parameter for parameter in sam.parameters() if parameter.requires_grad]
    training = OneCycle(parameters, peak_rate, steps)
    sam.train()
    began, losses, ious = time.monotonic(), [], []
    with Progress(*Progress.get_default_columns(), "{task.fields[status]}") as progress:
        task = progress.add_task(f"{prompt}, {num_frames} frame(s)", total=steps, status="")
        for step in range(1, steps + 1):
            images, clicks, labels = pool.draw(rng, batch)
            if prompt == "click":
                predictions = track_clicks(sam, images, clicks)
            else:
                predictions = track_masks(sam, images, labels[:, 0])
            loss = sum(sam2_loss(prediction, labels[:, t]) for t, prediction in enumerate(predictions)) / num_frames
            training.step(loss)
            losses.append(loss.item())
            ious.append(_last_frame_iou(predictions[-1], labels[:, -1]))
            if step % 50 == 0 or step == steps:
                loss, iou = round(float(np.mean(losses)), 4), round(float(np.mean(ious)), 4)
                seconds = round(time.monotonic() - began, 1)
                entry = {"prompt": prompt, "frames": num_frames, "step": step, "loss": loss, "iou": iou}
                log.append({**entry, "seconds": seconds})
                progress.update(task, status=f"loss {loss} IoU of the last frame {iou}")
                losses, ious = [], []
            progress.advance(task)
    return log


@torch.no_grad()
def _last_frame_iou(prediction: MaskPrediction, targets: torch.Tensor) -> float:
    logits = F.interpolate(prediction.masks[:, None], targets.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    return weighted_mean(mask_iou(logits, targets), targets.flatten(1).any(1).float()).item()


def train_host(seed: int, clips: int = 2000, stages: Sequence[dict] = STAGES) -> tuple[Sam2VideoModel, list[dict]]:
    """A host trained through all `stages`, and the log of its training."""
    sam, log = build_host(seed), []
    for stage in stages:
        log += train(sam, clips, **stage, seed=seed)
    return sam, log
