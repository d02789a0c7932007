"""Train the smallest SAM2 host on synthetic clips from clicks, as SAM2 itself was trained before any method used it.

A click on one object of the first frame, the object tracked through the following ones, SAM2's own losses; then the
same from the object's mask, in the end as a method that prompts hands it over.
"""

import itertools
import time
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import Sam2VideoModel

from lavseg.backbones.sam2.encoder_sam2 import encode_images
from lavseg.backbones.sam2.modeling_sam2 import Sam2Backbone
from lavseg.backbones.sam2.tracking_sam2 import (
    ImageFeatures,
    MaskPrediction,
    Memory,
    Sam2Tracker,
    project_features,
    propagate,
)

from .clicks import IMAGE_SIZE, ClipPool, click_loss, mean_iou
from .configurations import nano_sam2_config
from .optimization import optimize, reset_layers

# Single frames first; tracking is learnt from pairs of frames, where a higher rate gets it off the ground.
STAGES = (
    {"num_frames": 1, "steps": 2200, "batch": 16, "peak_rate": 8e-4},
    {"num_frames": 2, "steps": 600, "batch": 16, "peak_rate": 8e-4},
    # From here on frames are encoded as they are by then, which halves the time of a step.
    {"num_frames": 4, "steps": 300, "batch": 8, "peak_rate": 5e-4, "learns": "tracking"},
    # A frame remembers six before it: with shorter clips the older slots would stay untrained.
    {"num_frames": 10, "steps": 300, "batch": 6, "peak_rate": 5e-4, "learns": "tracking"},
    # Then the small part that reads masks, with all others as they are.
    {"num_frames": 4, "steps": 250, "batch": 8, "peak_rate": 1e-2, "learns": "masks"},
    # And once more, with several clicks for each encoded frame.
    {"num_frames": 1, "steps": 1800, "batch": 16, "peak_rate": 8e-4, "clicks": 3},
    {"num_frames": 2, "steps": 250, "batch": 12, "peak_rate": 5e-4, "clicks": 2},
    {"num_frames": 10, "steps": 280, "batch": 6, "peak_rate": 5e-4, "learns": "tracking"},
    {"num_frames": 4, "steps": 120, "batch": 8, "peak_rate": 1e-2, "learns": "masks"},
    {"num_frames": 10, "steps": 600, "batch": 6, "peak_rate": 5e-4, "learns": "handoff"},
)
# Of the steps that learn the handoff one in so many is from clicks, which would be forgotten.
CLICKS_EVERY = 3


def build_host(seed: int) -> Sam2VideoModel:
    """An untrained host."""
    torch.manual_seed(seed)
    config = nano_sam2_config(IMAGE_SIZE)
    config.memory_attention_dropout = config.memory_attention_rope_dropout = 0.0
    sam = Sam2Backbone(config)
    reset_layers(sam)
    for layer in sam.memory_encoder.memory_fuser.layers:
        nn.init.constant_(layer.scale, 0.1)
    for parameter in (sam.memory_temporal_positional_encoding, sam.no_memory_embedding, sam.no_object_pointer):
        nn.init.normal_(parameter, std=0.02)
    code = sam.shared_image_embedding.positional_embedding
    sam.prompt_encoder.shared_embedding.positional_embedding.copy_(code)
    return sam


def encode_frames(sam: Sam2VideoModel, images: torch.Tensor) -> list[ImageFeatures]:
    """Features of each frame of `images [B, T, 3, S, S]`."""
    maps = encode_images(sam, images.flatten(0, 1))
    return [
        project_features(sam, tuple(feature.unflatten(0, images.shape[:2])[:, frame] for feature in maps))
        for frame in range(images.shape[1])
    ]


def track_clicks(sam: Sam2VideoModel, images: torch.Tensor, clicks: torch.Tensor) -> list[MaskPrediction]:
    """Predictions of every frame of `images [B, T, 3, S, S]` from clicks `[B * K, 2]` on the first, `K` per clip."""
    labels = torch.ones(len(clicks), 1, 1, dtype=torch.int32, device=clicks.device)
    sparse = sam.prompt_encoder(clicks[:, None, None], labels, None, None)[0][:, 0]
    clips = torch.arange(len(images), device=clicks.device).repeat_interleave(len(clicks) // len(images))
    features = [frame.select(clips) for frame in encode_frames(sam, images)]
    tracker = Sam2Tracker(sam, images.shape[1])
    return [prediction for _, prediction in propagate(tracker, features.__getitem__, sparse)]


def track_masks(sam: Sam2VideoModel, images: torch.Tensor, masks: torch.Tensor) -> list[MaskPrediction]:
    """Predictions of every frame of `images [B, T, 3, S, S]` from the masks `[B, S, S]` of the first."""
    features, tracker = encode_frames(sam, images), Sam2Tracker(sam, images.shape[1])
    predictions = [tracker.decode_mask(features[0], masks > 0)]
    memory = Memory(prompted={0: tracker.encode_mask(features[0], masks > 0)})
    for frame in range(1, len(features)):
        predictions.append(tracker.track(features[frame], memory, frame))
        memory = tracker.remember(memory, frame, features[frame], predictions[-1])
    return predictions


def train_stage(
    sam: Sam2VideoModel,
    pool: ClipPool,
    num_frames: int,
    steps: int,
    batch: int,
    peak_rate: float,
    seed: int,
    learns: str = "all",
    clicks: int = 1,
) -> list[dict]:
    """Train on `num_frames` frames in a row.

    From clicks learns "all" or, with the image encoder as it is, what does the "tracking"; from masks only what reads
    "masks"; from masks as coarse as a method hands over, and from some clicks, the "handoff": all but what a method
    that prompts the first frame reads, so that it can be learnt before the method or after.

    Returns:
        A log of `{learns, frames, step, loss, iou, seconds}`, the IoU that of the last frame.
    """
    rng = np.random.default_rng([seed, num_frames])
    sam.requires_grad_(learns != "masks")
    sam.vision_encoder.requires_grad_(learns == "all")
    if learns == "handoff":
        for part in (sam.prompt_encoder, sam.mask_decoder.conv_s0, sam.mask_decoder.conv_s1):
            part.requires_grad_(False)
        for code in (sam.no_memory_embedding, sam.no_memory_positional_encoding):
            code.requires_grad_(False)
    for part in (sam.mask_downsample, sam.prompt_encoder.mask_embed):
        part.requires_grad_(True)
    parameters = [parameter for parameter in sam.parameters() if parameter.requires_grad]
    sam.train()
    step = itertools.count(1)

    def terms() -> dict[str, torch.Tensor]:
        images, points, labels = (part.to(sam.device) for part in pool.draw(rng, batch, num_frames, clicks))
        if learns == "masks":
            predictions = track_masks(sam, images, labels[:, 0])
        elif learns == "handoff" and next(step) % CLICKS_EVERY:
            predictions = track_masks(sam, images, _handed_over(labels[:, 0]))
        else:
            predictions = track_clicks(sam, images, points)
        losses = [
            click_loss(found.candidates, found.candidate_scores, found.object_score_logits, labels[:, frame])
            for frame, found in enumerate(predictions)
        ]
        return {"loss": sum(losses) / num_frames, "iou": mean_iou(predictions[-1].masks, labels[:, -1])}

    began, title = time.monotonic(), f"SAM2, {learns}, {num_frames} frame(s)"
    return [
        {"learns": learns, "frames": num_frames, **entry, "seconds": round(time.monotonic() - began, 1)}
        for entry in optimize(parameters, terms, peak_rate, steps, title)
    ]


def _handed_over(masks: torch.Tensor) -> torch.Tensor:
    """Logits `[N, S, S]` of masks at a quarter of their size, which is what a decoder predicts."""
    size = masks.shape[-1]
    coarse = F.interpolate(masks[:, None], size=(size // 4, size // 4), mode="area")
    return F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)[:, 0] - 0.5


def train_host(seed: int, clips: int = 2000, stages: Sequence[dict] = STAGES) -> tuple[Sam2VideoModel, list[dict]]:
    """A host trained through all `stages`, and the log of its training."""
    sam, pool, log = build_host(seed), ClipPool.render(clips, max(stage["num_frames"] for stage in stages), seed), []
    for stage in stages:
        log += train_stage(sam, pool, **stage, seed=seed)
    return sam, log
