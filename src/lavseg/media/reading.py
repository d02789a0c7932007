"""Clips from files: frames at a steady rate and the sound under them."""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from .containers import open_media, video_stream
from .errors import MediaError, check_fps
from .packets import iter_packets, source_name
from .streams import TimedFrame, display_matrix, iter_sound, iter_timed_frames, upright

# Seconds. Containers such as Matroska round times to a millisecond: closer than this is the same instant.
SAME_INSTANT = 0.0025


@dataclass(frozen=True, eq=False)
class Clip:
    """A decoded clip.

    frames: uint8 `[T, H, W, 3]`, RGB, upright. Frame `i` stands for seconds `[i, i + 1) / fps`.
    frame_times: float64 `[T]`, when each chosen frame appears, in seconds from the video's first frame.
    waveform: float32 `[channels, samples]`, exactly `T / fps` seconds long; None without sound.
    sampling_rate: samples per second of `waveform`; None without sound.
    fps: the rate of `frames`.
    """

    frames: np.ndarray
    frame_times: np.ndarray
    waveform: np.ndarray | None
    sampling_rate: int | None
    fps: float


class ClipPart(NamedTuple):
    """One interval of a clip: the frame that stands for it and the sound under it.

    time: when the frame appears, in seconds from the video's first frame.
    frame: uint8 `[H, W, 3]`, RGB, upright.
    waveform: float32 `[channels, samples]`; None without sound.
    sampling_rate: samples per second of `waveform`; None without sound.
    """

    time: float
    frame: np.ndarray
    waveform: np.ndarray | None
    sampling_rate: int | None


class VideoInfo(NamedTuple):
    """Length of a video in seconds and its mean rate."""

    seconds: float
    fps: float


def inspect_video(path: str | Path) -> VideoInfo:
    """Length and rate of a video file, from its packets; nothing is decoded.

    Raises:
        MediaError: the file is missing, damaged, cut short, or holds no video.
    """
    name = source_name(path)
    with open_media(path) as container:
        stream = video_stream(container, name)
        usual = 1 / float(stream.average_rate) if stream.average_rate else 0.0
        begin, end, count = float("inf"), 0.0, 0
        for packet in iter_packets(container, stream, path):
            if packet.is_discard or not packet.size:
                continue
            stamp = packet.dts if packet.pts is None else packet.pts
            moment = end if stamp is None else float(stamp * packet.time_base)
            length = float(packet.duration * packet.time_base) if packet.duration else usual
            begin, end, count = min(begin, moment), max(end, moment + length), count + 1
    if not count:
        raise MediaError(f"{name}: not one video frame can be decoded")
    seconds = max(end - begin, 0.001)
    return VideoInfo(seconds, count / seconds)


def read_video(path: str | Path, fps: float = 1.0, at: Literal["end", "start"] = "end") -> Clip:
    """Decode a video file into frames at a steady rate and the sound under them.

    Frames are chosen as by `iter_frames`. The sound stays at its own rate and channels and is placed on the video's
    clock: it is cut, or padded with zeros, to exactly `T / fps` seconds, because every frame stands
    for one such interval of sound.

    Raises:
        MediaError: the file is missing, damaged, cut short, or holds no video.
        ValueError: `fps` or `at` is not usable.
    """
    parts = list(iter_clip(path, fps, at))
    times, frames, waveforms, sampling_rates = zip(*parts, strict=True)
    waveform = None if waveforms[0] is None else np.concatenate(waveforms, axis=1)
    return Clip(np.stack(frames), np.array(times), waveform, sampling_rates[0], float(fps))


def iter_clip(path: str | Path, fps: float = 1.0, at: Literal["end", "start"] = "end") -> Iterator[ClipPart]:
    """What `read_video` returns, interval by interval, with one interval in memory.

    Raises:
        MediaError: the file is missing, damaged, cut short, or holds no video.
        ValueError: `fps` or `at` is not usable.
    """
    _require_choice(fps, at)
    return _iter_clip(path, fps, at)


def iter_frames(
    path: str | Path, fps: float = 1.0, at: Literal["end", "start"] = "end"
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield `(seconds, uint8 [H, W, 3])` for each interval of `1 / fps` seconds, one frame in memory.

    `at="end"` takes the frame on screen as the interval ends (the last one to appear before `(i + 1) / fps`),
    as the frames of AVSBench and Ref-AVS were made; `at="start"` takes the one on screen as it begins.
    `seconds` is when the chosen frame appeared; a slow video gives the same frame for several intervals.
    A last interval that the video does not fill is left out, but a shorter video than one interval gives one frame.
    Time runs from the video's first frame by the times stated in the file; frames are not counted.
    Of several video streams FFmpeg's best is taken; cover art is not video. Rotated and mirrored frames come upright.

    Raises:
        MediaError: the file is missing, damaged, cut short, or holds no video.
        ValueError: `fps` or `at` is not usable.
    """
    _require_choice(fps, at)
    return ((seconds, image) for _, seconds, image in _iter_frames(path, fps, at))


def read_audio(source: str | Path | bytes) -> tuple[np.ndarray, int]:
    """Decode the sound of an audio or video file, given as a path or as the file's bytes.

    Returns:
        The waveform, float32 `[channels, samples]` (16-bit samples are divided by 32768), and its sampling rate.

    Raises:
        MediaError: the file is missing, damaged, cut short, or holds no sound.
    """
    with open_media(source) as container:
        stream = container.streams.best("audio")
        pieces = list(iter_sound(container, stream, source)) if stream else []
    if not pieces:
        raise MediaError(f"{source_name(source)}: holds no sound")
    return np.concatenate([piece.samples for piece in pieces], axis=1), pieces[0].rate


class ClipReader:
    """A video file that is read more than once, and inspected only once.

    ```python
    reader = ClipReader("clip.mp4")
    print(reader.info.seconds)
    frames = [part.frame for part in reader.iter_clip(fps=1.0)]
    ```

    Args:
        path: a video file; it is opened when something is read.
    """

    def __init__(self, path: str | Path):
        self.path = path

    @cached_property
    def info(self) -> VideoInfo:
        """Length and rate, see `inspect_video`."""
        return inspect_video(self.path)

    def iter_clip(self, fps: float = 1.0, at: Literal["end", "start"] = "end") -> Iterator[ClipPart]:
        """Frames and the sound under them, see `lavseg.media.iter_clip`."""
        return iter_clip(self.path, fps, at)

    def iter_frames(self, fps: float = 1.0, at: Literal["end", "start"] = "end") -> Iterator[tuple[float, np.ndarray]]:
        """Frames alone, see `lavseg.media.iter_frames`."""
        return iter_frames(self.path, fps, at)


def _require_choice(fps: float, at: str) -> None:
    check_fps(fps)
    if at not in ("end", "start"):
        raise ValueError(f"at is {at!r}; give 'end' or 'start' of each interval")


def _iter_clip(path: str | Path, fps: float, at: str) -> Iterator[ClipPart]:
    with ExitStack() as stack:
        sounds = None
        for origin, seconds, image in _iter_frames(path, fps, at):
            if sounds is None:
                sounds = stack.enter_context(closing(_iter_sound_under_video(path, origin, fps)))
            yield ClipPart(seconds, image, *next(sounds))


def _iter_frames(path: str | Path, fps: float, at: str) -> Iterator[tuple[float, float, np.ndarray]]:
    """Origin of the video on the file's clock, seconds from there, and image of each chosen frame."""
    name, shape, rotation = source_name(path), None, None
    with open_media(path) as container:
        stream = video_stream(container, name)
        stream.thread_type = "AUTO"
        for timed in _choose(iter_timed_frames(container, stream, path), fps, at):
            if timed.frame.rotation != rotation:
                rotation, matrix = timed.frame.rotation, display_matrix(timed.frame)
            image = upright(timed.frame, matrix)
            if shape not in (None, image.shape):
                raise MediaError(f"{name}: the picture size changes from {shape[:2]} to {image.shape[:2]} on the way")
            shape = image.shape
            yield timed.origin, timed.begin, image
    if shape is None:
        raise MediaError(f"{name}: not one video frame can be decoded")


def _choose(timed_frames: Iterable[TimedFrame], fps: float, at: str) -> Iterator[TimedFrame]:
    """One frame for each full interval, at least one in all."""
    index, first, current = 0, None, None
    for timed in timed_frames:
        while current is not None and timed.begin > (index + 1) / fps - SAME_INSTANT:
            yield current if at == "end" else first
            index, first = index + 1, current
        if first is None or timed.begin < index / fps + SAME_INSTANT:
            first = timed
        current = timed
    while current is not None and (index == 0 or current.end > (index + 1) / fps - SAME_INSTANT):
        yield current if at == "end" else first
        index, first = index + 1, current


def _iter_sound_under_video(
    path: str | Path, origin: float, fps: float
) -> Iterator[tuple[np.ndarray, int] | tuple[None, None]]:
    """Without end: the sound of each interval from `origin` on the file's clock and its rate, zeros where it is
    absent; (None, None) without sound."""
    name = source_name(path)
    with open_media(path) as container:
        stream = container.streams.best("audio", video_stream(container, name))
        pieces = iter_sound(container, stream, path) if stream else iter(())
        first = next(pieces, None)
        if first is None:
            yield from itertools.repeat((None, None))
        held, rate = first.samples, first.rate
        # Number of the first sample of `held` and of the next one to hand out, counted from `origin`.
        begin, due = round((first.begin - origin) * rate), 0
        for index in itertools.count(1):
            end = round(index / fps * rate)
            while begin + held.shape[1] < end and (piece := next(pieces, None)) is not None:
                kept = max(due - begin, 0)
                held, begin = np.concatenate([held[:, kept:], piece.samples], axis=1), begin + min(kept, held.shape[1])
            sound = np.zeros((len(held), end - due), np.float32)
            there = held[:, max(due - begin, 0) : max(end - begin, 0)]
            late = min(max(begin - due, 0), sound.shape[1])
            sound[:, late : late + there.shape[1]] = there
            yield sound, rate
            due = end
