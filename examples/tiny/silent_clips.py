"""Synthetic clips without sound, as tiny encoders of frames learn from them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from lavseg.data import BAND, SyntheticClip, draw_objects, render_clip


def render_silent_clip(seed: Sequence[int], num_frames: int, image_size: int) -> tuple[SyntheticClip, np.ndarray]:
    """A clip of `T = num_frames` frames of the drawn band, and its frames as uint8 `[T, 3, S, S]`, `S = image_size`.
    Runs on one thread."""
    torch.set_num_threads(1)
    rng, silence = np.random.default_rng(seed), np.zeros(num_frames, bool)
    objects = [replace(item, seconds=silence) for item in draw_objects(rng, num_frames, categories=BAND)]
    clip = render_clip(rng, num_frames, objects=objects)
    frames, size = torch.from_numpy(clip.frames).permute(0, 3, 1, 2), (image_size, image_size)
    return clip, F.interpolate(frames, size, mode="bilinear", antialias=True).numpy()


def normalize(images: torch.Tensor) -> torch.Tensor:
    """Images `[..., 3, S, S]` of 0 to 255 by ImageNet's mean and deviation."""
    mean, std = (torch.tensor(values).view(3, 1, 1) * 255 for values in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD))
    return (images - mean) / std
