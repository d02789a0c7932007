"""Segments a video of any length, window by window and frame by frame, in memory that does not grow with it."""

import inspect
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from transformers import PreTrainedConfig

from .. import media
from ..backbones.sam2.mask_tracking import MaskTracker, frame_pixels, tracking_host
from ..backbones.sam2.tracking_sam2 import NO_OBJ_SCORE, FrameMemory, MaskPrediction
from ..media import SAME_INSTANT, ClipPart, VideoInfo
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.inputs import check_outputs
from ..modeling.outputs import AudioVisualSegmentationOutput
from ..modeling.processing import AudioVisualProcessor

# Clips of Ref-AVS, on which the methods that read are trained, have ten frames.
WINDOW = 10
# Frames that a window shares with the one before it.
OVERLAP = 2
# IoU from which the masks of two windows mean one object.
SAME_OBJECT = 0.5


@dataclass(frozen=True, eq=False)
class SegmentedFrame:
    """One frame and what was found in it.

    part: the frame, when it appears, and the sound under it.
    masks: bool `[E, H, W]`, at the clip's size.
    scores: what the model says beside masks, by name, each float64 `[E]`: `object_score_logits` (above zero: judged
        visible), `iou_scores` (its own estimate) and, of the window that the frame is in, `presence_logit`.
    attentions: attention maps by name, each float32 `[blocks, e, e]`, mean over heads; empty unless asked for.
    """

    part: ClipPart
    masks: np.ndarray
    scores: dict[str, np.ndarray]
    attentions: dict[str, np.ndarray]


class _Piece(NamedTuple):
    """A frame, and what the method hears with it."""

    part: ClipPart
    heard: np.ndarray


class ClipReader(Protocol):
    """What reads a clip: the module `lavseg.media`, or a `lavseg.media.isolated_reading.IsolatedReader`."""

    def inspect_video(self, path: str | Path) -> VideoInfo: ...

    def iter_clip(self, path: str | Path, fps: float = 1.0) -> Iterator[ClipPart]: ...


def window_length(config: PreTrainedConfig) -> int:
    """Frames that a method takes at a time: as many as it was trained on, where it depends on them."""
    if getattr(config, "fusion", None) == "jca":
        return config.jca_num_frames
    return getattr(config, "max_frames", WINDOW)


def segment_video(
    model: AudioVisualPreTrainedModel,
    processor: AudioVisualProcessor,
    clip: str | Path,
    texts: Sequence[str] = (),
    fps: float | None = None,
    output_attentions: bool = False,
    reader: ClipReader = media,
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
    the second of sound that ends with it, `window_length` frames at a time.

    Args:
        model: in evaluation mode, on its device.
        processor: of the model.
        clip: a video file with sound.
        texts: the expressions, all about this clip; empty for a model that takes none.
        fps: from the processor's own rate, the default, to the clip's.
        output_attentions: give attention maps, where the method has them.
        reader: an `IsolatedReader` for files of strangers, whose decoding may end a process.

    Raises:
        ValueError: (of which `MediaError` is one) something given cannot be used, or the model gives NaN or infinite
            values.
    """
    video = reader.inspect_video(clip)
    own_rate = processor.fps
    rate = own_rate if fps is None else fps
    _check_rate(rate, own_rate, video, clip)
    if output_attentions and "output_attentions" not in inspect.signature(model.forward).parameters:
        raise ValueError(f"attention: {type(model).__name__} has no attention maps to draw; ST-BAVA has")
    method = _Method(model, processor, list(texts), output_attentions)
    if rate == own_rate:
        return _finished(method, _segment_windows(method, _iter_heard(reader, clip, rate), method.answer))
    if method.memory is not None:
        if output_attentions:
            raise ValueError("attention: there are maps for the frames the method sees; leave fps out")
        keyed = _segment_windows(method, _iter_heard(reader, clip, own_rate), method.answer)
        return _finished(method, _track_between(method, keyed, reader.iter_clip(clip, rate), rate))
    pieces = _with_last_second(_iter_heard(reader, clip, rate))
    return _finished(method, _segment_windows(method, pieces, method.answer_frames))


def _iter_heard(reader: ClipReader, clip: str | Path, rate: float) -> Iterator[_Piece]:
    """Each part with the sound under it."""
    for part in reader.iter_clip(clip, rate):
        if part.waveform is None:
            raise ValueError(f"{clip}: carries no sound, which the model needs")
        yield _Piece(part, part.waveform)


def _with_last_second(pieces: Iterator[_Piece]) -> Iterator[_Piece]:
    """Each part with the second of sound that ends with it, or as much as there is."""
    held = None
    for part, heard in pieces:
        held = heard if held is None else np.concatenate([held, heard], axis=1)
        held = held[:, -part.sampling_rate :]
        yield _Piece(part, held)


def _check_rate(rate: float, own_rate: float, video: VideoInfo, clip: str | Path) -> None:
    # A stated rate is rounded, a counted one off by a frame in the whole.
    highest = max(own_rate, video.fps * (1 + 1e-3) + 1 / video.seconds)
    if not own_rate <= rate <= highest:
        raise ValueError(
            f"fps is {rate:g}; give {own_rate:g}, at which the method looks at clips, to "
            f"{max(own_rate, video.fps):.4g}, the rate of {clip}"
        )


@dataclass(frozen=True, eq=False)
class _Answer:
    """What is known of `T` frames: `logits [E, T, h, w]`, scores by name `[E, T]`, attention maps by name
    `[T, blocks, e, e]`."""

    logits: torch.Tensor
    scores: dict[str, torch.Tensor]
    attentions: dict[str, torch.Tensor]

    def __len__(self) -> int:
        """The number of frames."""
        return self.logits.shape[1]

    def frames(self, begin: int, end: int | None = None) -> "_Answer":
        return _Answer(
            self.logits[:, begin:end],
            {name: values[:, begin:end] for name, values in self.scores.items()},
            {name: maps[begin:end] for name, maps in self.attentions.items()},
        )

    def replaced(self, other: "_Answer", where: torch.Tensor) -> "_Answer":
        """Masks and scores of the first frames from `other` where bool `where [E, len(other)]` says so."""
        count = len(other)
        logits = self.logits.clone()
        logits[:, :count] = torch.where(where[..., None, None], other.logits, logits[:, :count])
        scores = {name: values.clone() for name, values in self.scores.items()}
        for name, values in scores.items():
            values[:, :count] = torch.where(where, other.scores[name], values[:, :count])
        return _Answer(logits, scores, self.attentions)


class _Method:
    """A model and its processor, asked about one clip."""

    def __init__(
        self,
        model: AudioVisualPreTrainedModel,
        processor: AudioVisualProcessor,
        texts: list[str],
        output_attentions: bool,
    ):
        self.model = model
        self.processor = processor
        self.texts = texts
        self.options = {"output_attentions": True} if output_attentions else {}
        host = tracking_host(model)
        self.memory = None if host is None else MaskTracker(host)

    def answer(self, pieces: list[_Piece]) -> _Answer:
        """One clip of all pieces."""
        frames = np.stack([piece.part.frame for piece in pieces])
        sound = np.concatenate([piece.heard for piece in pieces], axis=1)
        inputs = self.processor(frames, sound, self.texts or None, sampling_rate=pieces[0].part.sampling_rate)
        return self._ask(inputs)

    def answer_frames(self, pieces: list[_Piece]) -> _Answer:
        """The pieces as a clip whose every frame has a sound of its own."""
        frames = [piece.part.frame[None] for piece in pieces]
        texts = [self.texts] * len(pieces) if self.texts else None
        sounds = [piece.heard for piece in pieces]
        inputs = self.processor(frames, sounds, texts, sampling_rate=pieces[0].part.sampling_rate)
        for name, values in inputs.items():
            of_frames = name in ("pixel_values", "input_features", "frame_mask", "audio_mask")
            inputs[name] = values.transpose(0, 1) if of_frames else values[:1]
        return self._ask(inputs)

    @torch.inference_mode()
    def _ask(self, inputs: dict) -> _Answer:
        outputs = self.model(**inputs.to(self.model.device), **self.options)
        # Here, as a window that another one's masks replace would hide it.
        check_outputs(outputs)
        logits = self.processor.gate_masks(outputs)[0]
        given = {"object_score_logits": outputs.object_score_logits, "iou_scores": outputs.iou_scores}
        scores = {name: values[0] for name, values in given.items() if values is not None}
        if outputs.presence_logits is not None:
            scores["presence_logit"] = outputs.presence_logits[0, :, None].expand(-1, logits.shape[1])
        return _Answer(logits, scores, _attention_maps(outputs) if self.options else {})

    def finish(self, part: ClipPart, answer: _Answer) -> SegmentedFrame:
        """The answer about one frame, at the clip's size and in main memory."""
        size = part.frame.shape[:2]
        masks = self.processor.post_process_masks(answer.logits[None], [size])[0].reshape(-1, *size).cpu().numpy()
        scores = {name: values[:, 0].double().cpu() for name, values in answer.scores.items()}
        check_outputs(scores)
        return SegmentedFrame(
            part,
            masks,
            {name: values.numpy() for name, values in scores.items()},
            {name: maps[0].float().cpu().numpy() for name, maps in answer.attentions.items()},
        )


def _attention_maps(outputs: AudioVisualSegmentationOutput) -> dict[str, torch.Tensor]:
    names = ("audio_attentions", "vision_attentions")
    given = {name: outputs[name] for name in names if outputs.get(name) is not None}
    return {name: torch.stack([block[0].mean(1) for block in maps], dim=1) for name, maps in given.items()}


def _finished(method: _Method, frames: Iterator[tuple[ClipPart, _Answer]]) -> Iterator[SegmentedFrame]:
    return (method.finish(part, answer) for part, answer in frames)


def _segment_windows(
    method: _Method, pieces: Iterator[_Piece], ask: Callable[[list[_Piece]], _Answer]
) -> Iterator[tuple[ClipPart, _Answer]]:
    """Each frame with the answer about it; `ask` gives the answers about a window."""
    length = window_length(method.model.config)
    overlap = min(OVERLAP, length - 1)
    waiting: list[_Piece] = []
    answer, given_out = None, 0
    for begin, window in _windows(pieces, length, overlap):
        own, first = ask(window), given_out - begin
        answer = own if answer is None or not len(answer) else _hand_over(method, answer, own, window, first)
        waiting, done = window[first:], max(len(window) - first - overlap, 0)
        for index in range(done):
            yield waiting[index].part, answer.frames(index, index + 1)
        given_out += done
        waiting, answer = waiting[done:], answer.frames(done)
    for index, piece in enumerate(waiting):
        yield piece.part, answer.frames(index, index + 1)


def _windows(pieces: Iterator[_Piece], length: int, overlap: int) -> Iterator[tuple[int, list[_Piece]]]:
    """The number of the first piece, and the pieces, of each window; the last one reaches back."""
    held: deque[_Piece] = deque(maxlen=length)
    seen = covered = 0
    for piece in pieces:
        held.append(piece)
        seen += 1
        if seen == (length if not covered else covered + length - overlap):
            covered = seen
            yield seen - len(held), list(held)
    if seen > covered:
        yield seen - len(held), list(held)


def _hand_over(method: _Method, earlier: _Answer, own: _Answer, window: list[_Piece], first: int) -> _Answer:
    """What holds from piece `first` of a window on, from the window's own answer and an earlier one about the pieces
    from `first` on."""
    own, shared = own.frames(first), len(earlier)
    frames = torch.arange(shared, device=own.logits.device)
    if method.memory is None:
        return own.replaced(earlier, (frames < shared // 2).expand(len(own.logits), -1))
    agreement, cut = _iou(earlier.logits > 0, own.logits[:, :shared] > 0).max(1)
    in_view = (earlier.logits[:, -1] > 0).flatten(1).any(1)
    followed = (agreement < SAME_OBJECT) & in_view
    merged = own.replaced(earlier, (frames <= cut[:, None]) | followed[:, None])
    if not followed.any():
        return merged
    objects = followed.nonzero()[:, 0]
    tracked = _track_on(method, earlier, own, window[first:], objects)
    everywhere = followed[:, None].expand(-1, len(tracked))
    return merged.replaced(tracked, everywhere & (torch.arange(len(tracked), device=cut.device) >= shared))


def _iou(masks: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """IoU of masks `[..., h, w]`; two empty ones agree."""
    union = (masks | others).sum((-2, -1))
    return ((masks & others).sum((-2, -1)) / union).where(union > 0, 1.0)


def _track_on(method: _Method, earlier: _Answer, own: _Answer, pieces: list[_Piece], objects: torch.Tensor) -> _Answer:
    """`own` with `objects [n]` tracked through all pieces from their masks in `earlier`, about the first of them."""
    memory, logits = method.memory, own.logits.clone()
    scores = {name: values.clone() for name, values in own.scores.items()}
    given = {}
    for frame, piece in enumerate(pieces):
        features = memory.encode(frame_pixels(method.processor.image_inputs, piece.part.frame))
        if frame < len(earlier):
            given[frame] = memory.encode_mask(features, earlier.logits[objects, frame])
            memory.start(given)
            continue
        prediction = memory.track(frame, features)
        logits[objects, frame] = prediction.gated_masks.to(logits.dtype)
        for name, values in _scores(prediction).items():
            scores[name][objects, frame] = values
    return _Answer(logits, scores, own.attentions)


@dataclass(frozen=True, eq=False)
class _Key:
    """A frame that the method itself has segmented, by its place among the frames that are wanted."""

    place: float
    answer: _Answer
    memory: FrameMemory


def _track_between(
    method: _Method, keyed: Iterator[tuple[ClipPart, _Answer]], parts: Iterator[ClipPart], rate: float
) -> Iterator[tuple[ClipPart, _Answer]]:
    """Each part with the method's own answer about it, or else with masks tracked from the answers on both sides."""
    keys = _keys(method, keyed, rate / method.processor.fps)
    before, after, memory = None, next(keys), method.memory
    shown = None
    for index, part in enumerate(parts):
        while after is not None and after.place < index - SAME_INSTANT * rate:
            before, after, shown = after, next(keys, None), None
        if after is not None and after.place < index + SAME_INSTANT * rate:
            yield part, after.answer
            continue
        given = [key for key in (before, after) if key is not None]
        if shown is None:  # also where asking for the next key went through the same memory
            shown = torch.stack([(key.answer.logits > 0).flatten(1).any(1) for key in given]).any(0)
            memory.start({key.place: key.memory for key in given})
        yield part, _track_frame(method, index, part, given[0].answer, shown)


def _keys(method: _Method, keyed: Iterator[tuple[ClipPart, _Answer]], frames_a_key: float) -> Iterator[_Key]:
    for number, (part, answer) in enumerate(keyed):
        features = method.memory.encode(frame_pixels(method.processor.image_inputs, part.frame))
        yield _Key((number + 1) * frames_a_key - 1, answer, method.memory.encode_mask(features, answer.logits[:, 0]))


def _track_frame(method: _Method, index: int, part: ClipPart, near: _Answer, shown: torch.Tensor) -> _Answer:
    """Masks tracked to a frame. Objects that are not `shown [E]` in the answers around it are taken to be absent."""
    logits = torch.full_like(near.logits, NO_OBJ_SCORE)
    scores = dict(near.scores)
    if shown.any():
        prediction = method.memory.track(
            index, method.memory.encode(frame_pixels(method.processor.image_inputs, part.frame))
        )
        logits = torch.where(shown[:, None, None, None], prediction.gated_masks[:, None].to(logits.dtype), logits)
        for name, values in _scores(prediction).items():
            scores[name] = torch.where(shown[:, None], values[:, None], scores[name])
    return _Answer(logits, scores, {})


def _scores(prediction: MaskPrediction) -> dict[str, torch.Tensor]:
    return {"object_score_logits": prediction.object_score_logits, "iou_scores": prediction.iou_scores}
