"""Segments a clip of any length in overlapping windows, and hands masks over from each window to the next."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator

import torch

from ..backbones.sam2.tracking_sam2 import MaskPrediction
from ..media import ClipPart
from .clip_segmenter import ClipSegmenter
from .encoded_frames import FrameInput
from .frame_predictions import FramePredictions

# Frames at a time where the method takes any number: clips of Ref-AVS have ten.
WINDOW = 10
# Frames that a window shares with the one before it.
OVERLAP = 2
# IoU from which the masks of two windows mean one object.
SAME_OBJECT = 0.5


def segment_windows(
    segmenter: ClipSegmenter,
    inputs: Iterator[FrameInput],
    segment: Callable[[list[FrameInput]], FramePredictions],
    prompted: Collection[int] = (),
) -> Iterator[tuple[ClipPart, FramePredictions]]:
    """Each frame of a clip with the predictions for it.

    Args:
        segmenter: whose memory, where it has one, tracks objects on into a window that means something else.
        inputs: the frames of the clip.
        segment: gives the predictions for a window.
        prompted: numbers of the frames on which a user shows the objects.
    """
    length = segmenter.model.clip_length or WINDOW
    overlap = min(OVERLAP, length - 1)
    # The frames that are not given out yet, and the predictions for them.
    waiting: list[FrameInput] = []
    predictions, given_out = None, 0
    for begin, window in _windows(inputs, length, overlap):
        newer, first = segment(window), given_out - begin
        if predictions is None or not len(predictions):
            predictions = newer
        else:
            predictions = _hand_over(segmenter, predictions, newer, window, first, prompted)
        waiting, done = window[first:], max(len(window) - first - overlap, 0)
        for index in range(done):
            yield waiting[index].part, predictions.frames(index, index + 1)
        given_out += done
        waiting, predictions = waiting[done:], predictions.frames(done)
    for index, item in enumerate(waiting):
        yield item.part, predictions.frames(index, index + 1)


def _windows(inputs: Iterator[FrameInput], length: int, overlap: int) -> Iterator[tuple[int, list[FrameInput]]]:
    """The number of the first frame, and the frames, of each window; the last one reaches back."""
    held: deque[FrameInput] = deque(maxlen=length)
    seen = covered = 0
    for item in inputs:
        held.append(item)
        seen += 1
        if seen == (length if not covered else covered + length - overlap):
            covered = seen
            yield seen - len(held), list(held)
    if seen > covered:
        yield seen - len(held), list(held)


def _hand_over(
    segmenter: ClipSegmenter,
    earlier: FramePredictions,
    newer: FramePredictions,
    window: list[FrameInput],
    first: int,
    prompted: Collection[int],
) -> FramePredictions:
    """What holds from frame `first` of a window on, from the window's own predictions `newer` and `earlier` ones for
    the frames from `first` on. A window with a `prompted` frame goes on, whatever was tracked before."""
    newer, shared = newer.frames(first), len(earlier)
    frames = torch.arange(shared, device=newer.logits.device)
    if segmenter.memory is None:
        return newer.replaced(earlier, (frames < shared // 2).expand(len(newer.logits), -1))
    agreement, cut = _iou(earlier.logits > 0, newer.logits[:, :shared] > 0).max(1)
    in_view = (earlier.logits[:, -1] > 0).flatten(1).any(1)
    if any(item.number in prompted for item in window):
        in_view = torch.zeros_like(in_view)
    followed = (agreement < SAME_OBJECT) & in_view
    merged = newer.replaced(earlier, (frames <= cut[:, None]) | followed[:, None])
    if not followed.any():
        return merged
    tracked = _track_through(segmenter, earlier, newer, window[first:], followed.nonzero()[:, 0])
    everywhere = followed[:, None].expand(-1, len(tracked))
    return merged.replaced(tracked, everywhere & (torch.arange(len(tracked), device=cut.device) >= shared))


def _iou(masks: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """IoU of masks `[..., h, w]`; two empty ones agree."""
    union = (masks | others).sum((-2, -1))
    return ((masks & others).sum((-2, -1)) / union).where(union > 0, 1.0)


def _track_through(
    segmenter: ClipSegmenter,
    earlier: FramePredictions,
    newer: FramePredictions,
    inputs: list[FrameInput],
    objects: torch.Tensor,
) -> FramePredictions:
    """`newer` with `objects [n]` tracked through all frames from their masks in `earlier`, for the first of them."""
    memory, logits = segmenter.memory, newer.logits.clone()
    scores = {name: values.clone() for name, values in newer.scores.items()}
    # What tracking does not say, the presence, is as it was in the window that found the object.
    known, given = {name: values[objects, -1] for name, values in earlier.scores.items()}, {}
    for frame, item in enumerate(inputs):
        features = segmenter.frames.features(item.number, item.part.frame)
        if frame < len(earlier):
            given[frame] = memory.encode_mask(features, earlier.logits[objects, frame])
            memory.start(given)
            continue
        prediction = memory.track(frame, features)
        logits[objects, frame] = prediction.gated_masks.to(logits.dtype)
        for name, values in (known | tracking_scores(prediction, scores)).items():
            scores[name][objects, frame] = values
    return FramePredictions(logits, scores, newer.attentions, newer.class_maps)


def tracking_scores(prediction: MaskPrediction, names: Iterable[str]) -> dict[str, torch.Tensor]:
    """Those of a method's scores, by their names, that SAM2's tracking gives for its masks, too."""
    given = {"object_score_logits": prediction.object_score_logits, "iou_scores": prediction.iou_scores}
    return {name: given[name] for name in names if name in given}
