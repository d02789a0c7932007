"""Segments a video file of any length, frame by frame, in memory that does not grow with it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..media import ClipPart, ClipReader
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.inputs import renamed_arguments
from ..modeling.processing import AudioVisualProcessor
from .clip_segmenter import ClipSegmenter, FrameInput
from .frame_predictions import FramePredictions, SegmentedFrame, segmented_frame
from .free_memory import returning_free_memory
from .tracking_between import track_between
from .windows import segment_windows

# A clip with points is segmented in one piece, which is held in memory.
MAX_SECONDS_WITH_POINTS = 60


@renamed_arguments(frames_per_second="fps")
def segment_video(
    model: AudioVisualPreTrainedModel,
    processor: AudioVisualProcessor,
    clip: str | Path | ClipReader,
    texts: Sequence[str] = (),
    fps: float | None = None,
    output_attentions: bool = False,
    input_points: Any = None,
    input_labels: Any = None,
    prompt_frames: list[int] | None = None,
) -> Iterator[SegmentedFrame]:
    """Segment a video file of any length; frames come as they are done, a window behind the decoder.

    The method sees windows of its own length at its own rate, each with the sound under it, which overlap by
    `OVERLAP` frames; a clip that fits one window is segmented in one piece. The last window reaches back to have
    the length of the others. How a mask is handed over from a window to the next:

    - Methods on SAM2's video model: where both windows mean one object (IoU of at least `SAME_OBJECT` on a shared
      frame), the cut is at the shared frame on which they agree best, and the newer window goes on. Where the newer
      one means something else although the object is still in view, its masks become SAM2's memory and it is tracked
      through the newer window. An object that is out of view is looked for anew.
    - Methods on single frames have no memory: the cut is in the middle of the shared frames.

    At a higher `fps` than the method's own, methods on SAM2 keep their own frames' masks and track
    between them: the masks before and after are SAM2's memory. Methods on single frames segment every frame, each with
    the second of sound that ends with it, a window's length at a time. Other methods keep to their own rate.

    With points the clip is segmented in one piece: the objects are tracked from the frames with points to both ends.

    ```python
    for frame in lavseg.segment_video(model, processor, "clip.mp4", ["the louder of the two dogs"]):
        print(frame.part.time, frame.masks.shape, frame.scores)
    ```

    Args:
        model: in evaluation mode, on its device.
        processor: the one saved with the model.
        clip: path of a video file with sound, or what reads it: an `IsolatedClipReader` for files of strangers, whose
            decoding may end a process.
        texts: the expressions, all about this clip; empty for a model that takes none.
        fps: from the processor's own rate, the default, to the clip's.
        output_attentions: give attention maps, where the method has them.
        input_points: `[1, E, n, 2]`, or `[1, E, F, n, 2]` for `F` frames, (x, y) in pixels of the clip; for models
            with `takes_points`, and clips of up to `MAX_SECONDS_WITH_POINTS`.
        input_labels: `[1, E, n]` or `[1, E, F, n]`: 1 on the object, 0 off it, -1 for padding.
        prompt_frames: the `F` frames with points, counted at the processor's rate; by default the model's choice.

    Raises:
        ValueError: (of which `MediaError` is one) something given cannot be used, or the model gives NaN or infinite
            values.
    """
    clip = clip if isinstance(clip, ClipReader) else ClipReader(clip)
    rate = processor.fps if fps is None else fps
    _check_rate(rate, processor.fps, clip)
    if output_attentions and not model.gives_attentions:
        name = type(model).__name__
        raise ValueError(f"attention: {name} has no attention maps to draw under this configuration; leave it out")
    segmenter = ClipSegmenter(model, processor, texts, output_attentions)
    points = {"input_points": input_points, "input_labels": input_labels, "prompt_frames": prompt_frames}
    points = {name: value for name, value in points.items() if value is not None}
    if points:
        _check_points(points, model, rate, processor.fps, clip)
        frames = _segment_with_points(segmenter, clip, **points)
    elif rate == processor.fps or (segmenter.memory is None and not processor.needs_audio):
        frames = segment_windows(segmenter, _iter_inputs(clip, rate, processor.needs_audio), segmenter.segment_clip)
    elif segmenter.memory is not None:
        if output_attentions:
            raise ValueError("attention: there are maps for the frames the method sees; leave fps out")
        inputs = _iter_inputs(clip, processor.fps, processor.needs_audio)
        segmented = segment_windows(segmenter, inputs, segmenter.segment_clip)
        frames = track_between(segmenter, segmented, clip.iter_clip(rate), rate)
    else:
        inputs = _with_last_second(_iter_inputs(clip, rate, processor.needs_audio))
        frames = segment_windows(segmenter, inputs, segmenter.segment_frames)
    frames = returning_free_memory(frames)
    return (segmented_frame(processor, part, predictions) for part, predictions in frames)


def _segment_with_points(
    segmenter: ClipSegmenter, clip: ClipReader, prompt_frames: list[int] | None = None, **points: Any
) -> Iterator[tuple[ClipPart, FramePredictions]]:
    inputs = list(_iter_inputs(clip, segmenter.processor.fps, segmenter.processor.needs_audio))
    predictions = segmenter.segment_clip(inputs, points, prompt_frames=prompt_frames)
    for index, item in enumerate(inputs):
        yield item.part, predictions.frames(index, index + 1)


def _iter_inputs(clip: ClipReader, fps: float, needs_audio: bool) -> Iterator[FrameInput]:
    """Each frame with the sound under it."""
    for part in clip.iter_clip(fps):
        if part.waveform is None and needs_audio:
            raise ValueError(f"{clip.path}: carries no sound, which the model needs")
        yield FrameInput(part, part.waveform)


def _with_last_second(inputs: Iterator[FrameInput]) -> Iterator[FrameInput]:
    """Each frame with the second of sound that ends with it, or as much as there is."""
    sound = None
    for part, waveform in inputs:
        sound = waveform if sound is None else np.concatenate([sound, waveform], axis=1)
        sound = sound[:, -part.sampling_rate :]
        yield FrameInput(part, sound)


def _check_rate(rate: float, own_rate: float, clip: ClipReader) -> None:
    video = clip.info
    # A stated rate is rounded, a counted one off by a frame in the whole.
    highest = max(own_rate, video.fps * (1 + 1e-3) + 1 / video.seconds)
    if not own_rate <= rate <= highest:
        raise ValueError(
            f"fps is {rate:g}; give {own_rate:g}, at which the method looks at clips, to "
            f"{max(own_rate, video.fps):.4g}, the rate of {clip.path}"
        )


def _check_points(
    points: dict[str, Any], model: AudioVisualPreTrainedModel, rate: float, own_rate: float, clip: ClipReader
) -> None:
    if not model.takes_points:
        raise ValueError(f"{next(iter(points))}: {type(model).__name__} takes no points; AuralSam2Model does")
    if rate != own_rate:
        raise ValueError(f"fps is {rate:g}; with points leave it out, a clip is segmented at {own_rate:g}")
    if clip.info.seconds > MAX_SECONDS_WITH_POINTS:
        raise ValueError(
            f"input_points: {clip.path} lasts {clip.info.seconds:.0f} seconds; with points a clip is segmented in one "
            f"piece, of up to {MAX_SECONDS_WITH_POINTS} seconds"
        )
