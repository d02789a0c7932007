"""Segments a video file of any length, frame by frame, in memory that does not grow with it."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..backbones.sam2.user_prompts import PROMPT_NAMES
from ..evaluation.first_stage import FirstStage, check_first_stage
from ..media import ClipPart, ClipReader
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.inputs import renamed_arguments
from ..modeling.processing import AudioVisualProcessor
from .clip_segmenter import ClipSegmenter
from .encoded_frames import FrameInput
from .frame_predictions import FramePredictions, SegmentedFrame, segmented_frame
from .free_memory import returning_free_memory
from .prior_masks import PriorMasks
from .prompted_clip import prompted_clip
from .tracking_between import track_between
from .windows import segment_windows


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
    prompt_frames: Sequence[int] | None = None,
    input_boxes: Any = None,
    input_masks: Any = None,
    mask_threshold: float = 0.0,
    first_stage: FirstStage | None = None,
    output_classes: bool = False,
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

    With a user's prompts every window is given the prompted frames, too, before or behind its own: SAM2 remembers them
    for good. So objects are tracked from them to both ends of the clip. A window that holds a prompted frame itself
    always goes on, as the user may show what was lost.

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
        input_points: `[1, E, n, 2]`, or `[1, E, F, n, 2]` for `F` frames, (x, y) in pixels of the clip; these and the
            other prompts for models with `takes_points`. What is shown of an object goes with its expression.
        input_labels: `[1, E, n]` or `[1, E, F, n]`: 1 on the object, 0 off it, 2 and 3 for two corners of a
            box, -1 for padding.
        prompt_frames: the `F` frames with prompts, counted at the processor's rate; by default the first.
        input_boxes: `[1, E, 4]` or `[1, E, F, 4]`, (x1, y1, x2, y2) in pixels of the clip.
        input_masks: `[1, E, H, W]` or `[1, E, F, H, W]`, 0 and 1, at the clip's size; NaN alone where there is no
            mask of an object on a frame.
        mask_threshold: logits above it are inside the masks.
        first_stage: another model with its processor, for a model that names what the masks of that one show; without
            it such a model knows nothing of what sounds.
        output_classes: give the class of every pixel, where the model names classes.

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
    if output_classes and not model.names_classes:
        raise ValueError(f"classes: {type(model).__name__} finds masks and names no classes; leave it out")
    segmenter = ClipSegmenter(model, processor, texts, output_attentions, output_classes)
    given = dict(zip(PROMPT_NAMES, (input_points, input_labels, input_boxes, input_masks), strict=True))
    given = {name: value for name, value in given.items() if value is not None}
    whole, single, prompted = segmenter.segment_clip, segmenter.segment_frames, ()
    if first_stage is not None:
        check_first_stage(model, True)
        found = segment_predictions(first_stage.model, first_stage.processor, clip, rate)
        prior = PriorMasks(found, first_stage.processor, model.device)
        whole, single = prior.given_to(whole), prior.given_to(single)
    if given or prompt_frames is not None:
        inputs = _iter_inputs(clip, processor.fps, processor.needs_audio)
        shown = prompted_clip(segmenter, given, prompt_frames, inputs)
        whole, prompted = shown.segment, shown.numbers
    frames = _predicted(segmenter, clip, rate, whole, single, prompted)
    frames = returning_free_memory(frames)
    return (segmented_frame(processor, part, predictions, mask_threshold) for part, predictions in frames)


def segment_predictions(
    model: AudioVisualPreTrainedModel, processor: AudioVisualProcessor, clip: ClipReader, fps: float
) -> Iterator[FramePredictions]:
    """What a model that reads no text predicts for each frame of a clip, at the model's own size."""
    segmenter = ClipSegmenter(model, processor, ())
    frames = _predicted(segmenter, clip, fps, segmenter.segment_clip, segmenter.segment_frames, ())
    return (predictions for _, predictions in frames)


def _predicted(
    segmenter: ClipSegmenter,
    clip: ClipReader,
    rate: float,
    whole: Callable[..., FramePredictions],
    single: Callable[..., FramePredictions],
    prompted: Collection[int],
) -> Iterator[tuple[ClipPart, FramePredictions]]:
    """Each frame with the predictions for it, from windows that are segmented as a `whole` or, at a higher rate than
    the method's own, as `single` frames."""
    processor = segmenter.processor
    if rate == processor.fps or (segmenter.memory is None and not processor.needs_audio):
        inputs = _iter_inputs(clip, rate, processor.needs_audio)
        return segment_windows(segmenter, inputs, whole, prompted)
    if segmenter.memory is not None:
        if segmenter.options or segmenter.output_classes:
            asked = "attention" if segmenter.options else "classes"
            raise ValueError(f"{asked}: there are maps for the frames the method sees; leave fps out")
        inputs = _iter_inputs(clip, processor.fps, processor.needs_audio)
        segmented = segment_windows(segmenter, inputs, whole, prompted)
        return track_between(segmenter, segmented, clip.iter_clip(rate), rate)
    inputs = _with_last_second(_iter_inputs(clip, rate, processor.needs_audio))
    return segment_windows(segmenter, inputs, single)


def _iter_inputs(clip: ClipReader, fps: float, needs_audio: bool) -> Iterator[FrameInput]:
    """Each frame with the sound under it."""
    for number, part in enumerate(clip.iter_clip(fps)):
        if part.waveform is None and needs_audio:
            raise ValueError(f"{clip.path}: carries no sound, which the model needs")
        yield FrameInput(part, part.waveform, number)


def _with_last_second(inputs: Iterator[FrameInput]) -> Iterator[FrameInput]:
    """Each frame with the second of sound that ends with it, or as much as there is."""
    sound = None
    for item in inputs:
        sound = item.waveform if sound is None else np.concatenate([sound, item.waveform], axis=1)
        sound = sound[:, -item.part.sampling_rate :]
        yield item._replace(waveform=sound)


def _check_rate(rate: float, own_rate: float, clip: ClipReader) -> None:
    video = clip.info
    # A stated rate is rounded, a counted one off by a frame in the whole.
    highest = max(own_rate, video.fps * (1 + 1e-3) + 1 / video.seconds)
    if not own_rate <= rate <= highest:
        raise ValueError(
            f"fps is {rate:g}; give {own_rate:g}, at which the method looks at clips, to "
            f"{max(own_rate, video.fps):.4g}, the rate of {clip.path}"
        )
