"""What SimToken's prompts are given to: SAM, as released, or SAM2, which is this package's own."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Sam2VideoConfig, SamConfig

from ...backbones.sam.modeling_sam import SamBackbone
from ...backbones.sam2.key_frame_tracking import KeyFrameTracker
from ...backbones.sam2.modeling_sam2 import Sam2Backbone
from ...backbones.sam2.tracking_sam2 import ImageFeatures, Sam2Tracker
from ...modeling.outputs import MaskPrediction


class SegmentedClip(NamedTuple):
    """Of `E` sentences about a clip of `T` frames, mask logits `[E, T, h, w]`, IoU scores and, on SAM2, object scores
    `[E, T]`."""

    masks: torch.Tensor
    iou_scores: torch.Tensor
    object_score_logits: torch.Tensor | None


def build_host(config: SamConfig | Sam2VideoConfig) -> SamBackbone | Sam2Backbone:
    """An untrained host."""
    return (Sam2Backbone if isinstance(config, Sam2VideoConfig) else SamBackbone)(config)


def prompt_every_frame(
    host: SamBackbone | Sam2Backbone, features: Sequence[torch.Tensor], tokens: torch.Tensor
) -> SegmentedClip:
    """Each frame by itself.

    Args:
        host: SAM or SAM2.
        features: what its mask decoder reads of the frames: one tensor `[T, ...]` of SAM, or the three of SAM2.
        tokens: `[E, C]`, a prompt for each sentence.
    """
    prompts = [token.expand(len(features[0]), 1, -1) for token in tokens]
    if isinstance(host, SamBackbone):
        found = [host.decode(*features, sparse) for sparse in prompts]
    else:
        tracker = Sam2Tracker(host, 1)
        found = [tracker.prompt(ImageFeatures(*features), sparse, multimask=False) for sparse in prompts]
    joined = MaskPrediction.join(found, torch.stack)
    return SegmentedClip(joined.masks, joined.iou_scores, joined.object_score_logits)


def prompt_first_frame(host: Sam2Backbone, features: Sequence[torch.Tensor], tokens: torch.Tensor) -> SegmentedClip:
    """The first frame, from which SAM2 tracks; arguments as of `prompt_every_frame`."""
    clip, zeros = ImageFeatures(*(feature[None] for feature in features)), [0] * len(tokens)
    tracker = KeyFrameTracker(host, None, [len(features[0])], zeros, tokens[:, None], multimask=False, features=clip)
    return SegmentedClip(*tracker.segment(zeros)[:3])


def padded(clips: Sequence[torch.Tensor | None], length: int) -> torch.Tensor | None:
    """Tensors `[E, T, ...]` of clips as one `[B, E, length, ...]`, with zeros after the last frames."""
    if clips[0] is None:
        return None
    padded = nn.utils.rnn.pad_sequence([clip.transpose(0, 1) for clip in clips], batch_first=True).transpose(1, 2)
    return F.pad(padded, (0, 0) * (padded.dim() - 3) + (0, length - padded.shape[2]))
