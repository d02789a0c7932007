"""Drawn clips, and models that answer with the masks a test gives."""

from functools import cache

import numpy as np
import torch

from lavseg.data import render_clip
from lavseg.media import write_video
from lavseg.modeling.outputs import AudioVisualSegmentationOutput

RATE = 16000


SIZE = (60, 82)


def write_clip(path, num_frames, fps=1, seed=0):
    """A rendered clip; returns the masks of its objects, `[K, T, H, W]`."""
    clip = render_clip(np.random.default_rng(seed), num_frames, SIZE)
    sound = clip.waveform[:, : round(num_frames / fps * RATE)]
    write_video(path, clip.frames, fps, sound, RATE)
    return clip.masks


@cache
def low_resolution(size):
    return torch.nn.AdaptiveAvgPool2d((size, size))


def script(model, monkeypatch, answers, presences=()):
    """Let the model answer with given masks, one bool `[T, H, W]` a window, and presence logits, where given."""
    waiting, judged = iter(answers), iter(presences)

    def forward(frame_mask, **inputs):
        size = model.config.sam2_config.image_size // 4
        masks = torch.from_numpy(next(waiting)).float()
        assert len(masks) == frame_mask.shape[1]
        logits = 20 * (low_resolution(size)(masks[None]) > 0.5).float()[:, None] - 10
        ones = torch.ones(1, 1, len(masks))
        presence = torch.tensor([[next(judged)]]) if presences else None
        return AudioVisualSegmentationOutput(
            pred_masks=logits, iou_scores=ones, object_score_logits=ones, presence_logits=presence
        )

    monkeypatch.setattr(model, "forward", forward)


def jaccard(masks, others):
    return ((masks & others).sum((-2, -1)) / np.maximum((masks | others).sum((-2, -1)), 1)).mean()


def large_objects(masks):
    """The two objects of a clip that are seen best."""
    return masks[np.argsort(masks.sum((2, 3)).min(1))[-2:]]
