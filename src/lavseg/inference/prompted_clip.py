"""Points, boxes and masks of a user on frames of a clip, which every window of it is given with those frames."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backbones.sam2.user_prompts import frame_numbers
from ..modeling.base import AudioVisualPreTrainedModel
from .clip_segmenter import ClipSegmenter
from .encoded_frames import FrameInput
from .frame_predictions import FramePredictions

# SAM2's label of padding.
_NO_POINT = -1


@dataclass(frozen=True, eq=False)
class PromptedClip:
    """A clip on some of whose frames a user shows objects.

    SAM2 remembers prompted frames for good, however far away they are. So a window that does not hold one is given it
    before or behind its own frames, with its sound, as a frame that is seen first and without memory.

    segmenter: with a method that takes prompts.
    prompts: arguments of the processor, such as `input_points [1, E, F, n, 2]`.
    frames: the `F` prompted frames, in the order of the prompts.
    """

    segmenter: ClipSegmenter
    prompts: dict[str, Any]
    frames: list[FrameInput]

    @property
    def numbers(self) -> set[int]:
        """Which frames of the clip are prompted."""
        return {item.number for item in self.frames}

    def segment(self, window: Sequence[FrameInput]) -> FramePredictions:
        """Predictions for the frames of a window."""
        seen = {item.number: item for item in (*self.frames, *window)}
        numbers = sorted(seen)
        places = [numbers.index(item.number) for item in self.frames]
        found = self.segmenter.segment_clip([seen[number] for number in numbers], self.prompts, prompt_frames=places)
        begin = numbers.index(window[0].number)
        return found.frames(begin, begin + len(window))


def prompted_clip(
    segmenter: ClipSegmenter,
    prompts: Mapping[str, Any],
    prompt_frames: Sequence[int] | None,
    inputs: Iterable[FrameInput],
) -> PromptedClip:
    """Read the prompted frames, those before them being passed over.

    Args:
        segmenter: with a method that takes prompts.
        prompts: what of `input_points`, `input_labels`, `input_boxes` and `input_masks` was given.
        prompt_frames: numbers of the frames they are on; the first one when None.
        inputs: the frames of the clip.

    Raises:
        ValueError: the method takes no prompts, they do not lie in the clip, or frames are no whole numbers.
    """
    check_takes_prompts(segmenter.model, [*prompts, "prompt_frames"])
    if not prompts:
        raise ValueError("prompt_frames: pass input_points, input_boxes or input_masks of these frames as well")
    numbers = [0] if prompt_frames is None else frame_numbers(prompt_frames)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"prompt_frames: {numbers} were given; name each prompted frame once")
    found, last = {}, -1
    for item in inputs:
        last = item.number
        if last in numbers:
            found[last] = item
        if len(found) == len(numbers):
            break
    else:
        raise ValueError(f"prompt_frames: {numbers} were given, the clip has frames 0 to {last}")
    frames = [found[number] for number in numbers]
    height, width = frames[0].part.frame.shape[:2]
    check_places(prompts, height, width)
    return PromptedClip(segmenter, dict(prompts), frames)


def point_arrays(
    shown: Mapping[tuple[int, int], Sequence[tuple[tuple[float, float], int]]], objects: int, frames: Sequence[int]
) -> dict[str, np.ndarray]:
    """`input_points [1, E, F, n, 2]` and `input_labels [1, E, F, n]`, padded; none where no points are shown.

    Args:
        shown: points `(x, y)`, each with SAM2's label, by object and frame.
        objects: how many there are, `E`.
        frames: the `F` prompted frames.
    """
    most = max(map(len, shown.values()), default=0)
    if not most:
        return {}
    points = np.zeros((1, objects, len(frames), most, 2))
    labels = np.full(points.shape[:-1], _NO_POINT)
    for (thing, frame), given in shown.items():
        for place, (xy, label) in enumerate(given):
            where = 0, thing, frames.index(frame), place
            points[where], labels[where] = xy, label
    return {"input_points": points, "input_labels": labels}


def check_takes_prompts(model: AudioVisualPreTrainedModel, names: Sequence[str]) -> None:
    """Refuse a user's prompts for a model that takes none.

    Args:
        model: of any method.
        names: the arguments that were given.

    Raises:
        ValueError: the model takes none.
    """
    if names and not model.takes_points:
        raise ValueError(
            f"{names[0]}: {type(model).__name__} takes no points, boxes or masks here; AuralSAM2 does, and GAVS and "
            "SAMA-AVS on SAM2"
        )


def check_places(prompts: Mapping[str, Any], height: int, width: int) -> None:
    """Refuse points and boxes outside of the frames.

    Raises:
        ValueError: that names the first one.
    """
    size, limits = f"the frames are {width} pixels wide and {height} high", np.array([width, height])
    if "input_points" in prompts and "input_labels" in prompts:
        points, labels = (np.asarray(prompts[name], dtype=float) for name in ("input_points", "input_labels"))
        if points.shape == (*labels.shape, 2):
            outside = ((points < 0) | (points > limits)).any(-1) & (labels >= 0)
            if outside.any():
                raise ValueError(f"input_points: ({_said(points[outside][0])}) was given, {size}")
    if "input_boxes" in prompts:
        boxes = np.asarray(prompts["input_boxes"], dtype=float)
        if boxes.shape[-1] == 4:
            corners = boxes.reshape(*boxes.shape[:-1], 2, 2)
            outside = ((corners < 0) | (corners > limits)).any((-1, -2))
            wrong = outside | (corners[..., 0, :] >= corners[..., 1, :]).any(-1)
            if wrong.any():
                raise ValueError(
                    f"input_boxes: ({_said(boxes[wrong][0])}) was given, a box is (x1, y1, x2, y2) with x1 < x2 and "
                    f"y1 < y2, and {size}"
                )


def _said(place: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in place)
