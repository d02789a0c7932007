"""Masks for the frames between those that a method on SAM2 segments itself, tracked from both sides."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ..backbones.sam2.mask_tracking import frame_pixels
from ..backbones.sam2.tracking_sam2 import FrameMemory
from ..media import SAME_INSTANT, ClipPart
from ..modeling.outputs import NO_MASK_LOGIT
from .clip_segmenter import ClipSegmenter
from .frame_predictions import FramePredictions
from .windows import tracking_scores


@dataclass(frozen=True, eq=False)
class _KeyFrame:
    """A frame that the method itself has segmented, by its index (or a fraction between two) in the denser clip."""

    index: float
    predictions: FramePredictions
    memory: FrameMemory


def track_between(
    segmenter: ClipSegmenter,
    segmented: Iterator[tuple[ClipPart, FramePredictions]],
    parts: Iterator[ClipPart],
    fps: float,
) -> Iterator[tuple[ClipPart, FramePredictions]]:
    """Each frame with the method's own predictions for it, or else with masks tracked from those before and after.

    Args:
        segmenter: with a method on SAM2.
        segmented: the clip's frames at the method's own rate, with its predictions.
        parts: the clip's frames at the rate `fps`, which is higher.
        fps: the rate of `parts`.
    """
    key_frames = _key_frames(segmenter, segmented, fps / segmenter.processor.fps)
    before, after, memory = None, next(key_frames), segmenter.memory
    visible = None
    for index, part in enumerate(parts):
        while after is not None and after.index < index - SAME_INSTANT * fps:
            before, after, visible = after, next(key_frames, None), None
        if after is not None and after.index < index + SAME_INSTANT * fps:
            yield part, after.predictions
            continue
        around = [key_frame for key_frame in (before, after) if key_frame is not None]
        if visible is None:  # also where asking for the next key frame went through the same memory
            visible = torch.stack([(item.predictions.logits > 0).flatten(1).any(1) for item in around]).any(0)
            memory.start({key_frame.index: key_frame.memory for key_frame in around})
        yield part, _track_to_frame(segmenter, index, part, around[0].predictions, visible)


def _key_frames(
    segmenter: ClipSegmenter, segmented: Iterator[tuple[ClipPart, FramePredictions]], spacing: float
) -> Iterator[_KeyFrame]:
    """The frames that the method has segmented, `spacing` frames of the denser clip apart."""
    memory = segmenter.memory
    for number, (part, predictions) in enumerate(segmented):
        # Still there: a frame comes before the next window is segmented.
        features = segmenter.frames.features(number, part.frame)
        encoded = memory.encode_mask(features, predictions.logits[:, 0])
        yield _KeyFrame((number + 1) * spacing - 1, predictions, encoded)


def _track_to_frame(
    segmenter: ClipSegmenter, index: int, part: ClipPart, near: FramePredictions, visible: torch.Tensor
) -> FramePredictions:
    """Masks tracked to a frame. Objects that are not `visible [E]` in the key frames around it are taken to be absent;
    their scores are those of `near`."""
    logits, scores = torch.full_like(near.logits, NO_MASK_LOGIT), dict(near.scores)
    if visible.any():
        features = segmenter.memory.encode(frame_pixels(segmenter.processor.image_inputs, part.frame))
        prediction = segmenter.memory.track(index, features)
        logits = torch.where(visible[:, None, None, None], prediction.gated_masks[:, None].to(logits.dtype), logits)
        for name, values in tracking_scores(prediction, near.scores).items():
            scores[name] = torch.where(visible[:, None], values[:, None], scores[name])
    return FramePredictions(logits, scores, {})
