"""Clips from and to files: frames at a steady rate, the sound under them, and mp4 files with both."""

import ctypes
import io
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import Literal, NamedTuple

import av
import numpy as np
from av.stream import Disposition

# Seconds. Containers such as Matroska round times to a millisecond: closer than this is the same instant.
SAME_INSTANT = 0.0025
# Sound that jumps ahead by more than this many seconds has lost packets.
SOUND_GAP = 0.05
# Seconds that may be missing at a clip's beginning or end: headers and streams seldom agree to the frame.
SLACK = 0.25
# FFmpeg's names of formats whose header states the length; for the others it guesses from the bit rate.
STATING_LENGTH = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "flv", "ogg", "flac", "asf"}
# FFmpeg's names of the formats that are opened: each keeps everything in one file. Playlists, image sequences, session
# descriptions and devices are not among them; those name other files, and whoever wrote them chooses which are read.
CONTAINERS = (
    *("mov", "matroska", "avi", "flv", "mpegts", "mpeg", "asf", "ogg", "mxf", "nut", "rm", "dv", "gif", "ivf"),
    *("h264", "hevc", "m4v", "mpegvideo", "mjpeg", "obu", "yuv4mpegpipe"),
    *("wav", "w64", "flac", "mp3", "aac", "ac3", "eac3", "aiff", "au", "caf", "amr", "wv", "tta"),
)
# Seconds that FFmpeg may take to open a file, and to read on in it.
PATIENCE = 60
# As many as `write_video` takes.
MAX_CHANNELS = 32
# The speakers of a WAV file's channel mask in their order, which is also FFmpeg's.
SPEAKERS = (
    *("FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR"),
    *("TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR"),
)
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)


class MediaError(ValueError):
    """A file cannot be used as a clip or as sound. The message names the file and the reason."""


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
    name = _name(path)
    with _opened(path) as container:
        stream = _video_stream(container, name)
        usual = 1 / float(stream.average_rate) if stream.average_rate else 0.0
        begin, end, count = float("inf"), 0.0, 0
        for packet in _packets(container, name):
            if packet.stream.index != stream.index or not packet.size:
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

    `at="end"` takes the frame on screen as the interval ends (the last one shown before `(i + 1) / fps`),
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
    with _opened(source) as container:
        stream = container.streams.best("audio")
        pieces = list(_iter_sound(container, stream, _name(source))) if stream else []
    if not pieces:
        raise MediaError(f"{_name(source)}: holds no sound")
    return np.concatenate([piece.samples for piece in pieces], axis=1), pieces[0].rate


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float,
    waveform: np.ndarray | None = None,
    sampling_rate: int | None = None,
) -> None:
    """Write an mp4 file (H.264, AAC) that browsers play. Nothing is left at `path` when writing fails.

    Args:
        path: ends in `.mp4`; a file of that name is replaced.
        frames: uint8 `[H, W, 3]` RGB images of one size, or `[T, H, W, 3]`; may be an iterator. An odd height or width
            is made even by repeating the last row or column, as H.264 demands.
        fps: rate of `frames`.
        waveform: float `[channels, samples]` or `[samples]` in [-1, 1]; more than two channels are averaged to one.
        sampling_rate: samples per second of `waveform`.

    Raises:
        ValueError: an argument has the wrong shape, type or range.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"path is {path}; only .mp4 files are written")
    if not path.parent.is_dir():
        raise ValueError(f"path is {path}; its folder does not exist")
    sound = None if waveform is None else _checked_sound(waveform, sampling_rate)
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=path.parent) as folder:
        draft, written = Path(folder) / "draft.mp4", 0
        with VideoWriter(draft, fps, sampling_rate) as writer:
            for index, frame in enumerate(frames):
                due = round((index + 1) / fps * (sampling_rate or 0))
                writer.write(frame, None if sound is None else sound[:, written:due])
                written = due
            if sound is not None:
                writer.write_sound(sound[:, written:])
        os.replace(draft, path)


class VideoWriter:
    """Writes an mp4 file (H.264, AAC) frame by frame, as a context; closed after any frame, it is a whole file.

    Args:
        path: a file of that name is replaced.
        fps: rate of the frames.
        sampling_rate: samples per second of the sound.

    Raises:
        ValueError: `fps` is not usable, or nothing was written until the end.
    """

    def __init__(self, path: str | Path, fps: float, sampling_rate: int | None = None):
        _require_rate(fps)
        self.rate = Fraction(float(fps)).limit_denominator(100_000)
        self.sampling_rate = sampling_rate
        self.container = av.open(str(path), "w", options={"movflags": "+faststart"})
        self.video: av.VideoStream | None = None
        self.audio: av.AudioStream | None = None
        self.shape: tuple[int, ...] = ()
        self.num_frames = self.num_samples = 0

    def write(self, frame: np.ndarray, waveform: np.ndarray | None = None) -> None:
        """Append a frame, uint8 `[H, W, 3]`, and the sound under it, float `[channels, samples]` in [-1, 1].

        Either all frames come with sound or none does.

        Raises:
            ValueError: the frame or the sound has another shape, type or range than it should or than those before.
        """
        frame = _checked_frame(frame, self.num_frames, self.shape)
        sound = None if waveform is None else _checked_sound(waveform, self.sampling_rate)
        if self.video is None:
            self._begin(frame, sound)
        elif (sound is None) != (self.audio is None):
            raise ValueError(
                f"waveform is {'missing' if sound is None else 'given'} at frame {self.num_frames}, unlike before; "
                "give all frames sound or none"
            )
        image = av.VideoFrame.from_ndarray(
            np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge"), format="rgb24"
        )
        image.pts, image.time_base = self.num_frames, 1 / self.rate
        self.num_frames += 1
        self.container.mux(self.video.encode(image))
        if sound is not None:
            self.write_sound(sound)

    def write_sound(self, waveform: np.ndarray) -> None:
        """Append sound alone, float32 `[1 or 2, samples]`."""
        if not waveform.size:
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(waveform), format="fltp", layout=self.audio.layout.name)
        frame.pts, frame.sample_rate = self.num_samples, self.sampling_rate
        frame.time_base = Fraction(1, int(self.sampling_rate))
        self.num_samples += waveform.shape[1]
        self.container.mux(self.audio.encode(frame))

    def _begin(self, frame: np.ndarray, sound: np.ndarray | None) -> None:
        self.shape = frame.shape
        self.video = self.container.add_stream(
            "h264",
            rate=self.rate,
            width=frame.shape[1] + frame.shape[1] % 2,
            height=frame.shape[0] + frame.shape[0] % 2,
            pix_fmt="yuv420p",
            options={"crf": "18", "preset": "veryfast"},
        )
        if sound is not None:
            # The encoder resamples to the next rate that AAC has.
            rate = next((rate for rate in AAC_RATES if rate >= self.sampling_rate), AAC_RATES[-1])
            self.audio = self.container.add_stream("aac", rate=rate, layout=("mono", "stereo")[len(sound) - 1])

    def close(self) -> None:
        """Finish the file."""
        for stream in (self.video, self.audio):
            if stream is not None:
                self.container.mux(stream.encode())
        self.container.close()

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if kind is None and self.video is None:
            self.container.close()
            raise ValueError("frames is empty; a video needs at least one frame")
        self.close()


def _require_rate(fps: float) -> None:
    if not (isinstance(fps, Real) and 0.001 <= fps <= 1000):
        raise ValueError(f"fps is {fps!r}; give a number from 0.001 to 1000")


def _require_choice(fps: float, at: str) -> None:
    _require_rate(fps)
    if at not in ("end", "start"):
        raise ValueError(f"at is {at!r}; give 'end' or 'start' of each interval")


def _name(source: str | Path | bytes) -> str:
    return f"<{len(source)} bytes>" if isinstance(source, bytes) else str(source)


@contextmanager
def _opened(source: str | Path | bytes) -> Iterator[av.container.InputContainer]:
    """Open a file for reading; whatever FFmpeg refuses, now or while it is read, becomes a MediaError."""
    name = _name(source)
    if isinstance(source, bytes):
        size, file = len(source), io.BytesIO(source)
    elif not isinstance(source, str | Path):
        raise MediaError(f"{type(source).__name__} is not a media file; give its path")
    elif not os.path.exists(source):
        raise MediaError(f"{name}: no such file")
    elif not os.path.isfile(source):
        raise MediaError(f"{name}: is a folder or device, not a file")
    else:
        size, file = os.path.getsize(source), os.path.abspath(source)
    if size == 0:
        raise MediaError(f"{name}: the file is empty")
    try:
        _require_whole_riff(name, file, size)
        with _open_container(name, file) as container:
            yield container
    except av.ExitError as error:
        raise MediaError(f"{name}: cannot be read on within {PATIENCE} seconds") from error
    except (av.FFmpegError, PermissionError) as error:
        raise MediaError(f"{name}: damaged or not a media file (FFmpeg: {error.strerror})") from error


def _open_container(name: str, file: str | io.BytesIO) -> av.container.InputContainer:
    """Open one file of a known format, and nothing that it may refer to."""
    options = {
        "format_whitelist": ",".join(CONTAINERS),
        "protocol_whitelist": "file" if isinstance(file, str) else "none",
        # QuickTime's references to media in other files.
        "enable_drefs": "0",
        "use_absolute_path": "0",
    }
    try:
        return av.open(file, container_options=options, metadata_errors="replace", timeout=PATIENCE)
    except (av.ArgumentError, av.InvalidDataError) as error:
        raise MediaError(
            f"{name}: damaged or not a media file of a kind that is taken (mp4, mov, mkv, webm, avi, wav, mp3 and the "
            "like); playlists and other lists of files are refused"
        ) from error


def _require_whole_riff(name: str, file: str | io.BytesIO, size: int) -> None:
    """FFmpeg takes a WAV file that was cut short for whole, so its header is compared with the file's size."""
    if isinstance(file, str):
        with open(file, "rb") as opened:
            head = opened.read(8)
    else:
        head = file.getvalue()[:8]
    stated = int.from_bytes(head[4:], "little") + 8
    # Programs that write to a pipe cannot know the size and put the largest number there.
    if head[:4] == b"RIFF" and stated < 0x7FFF0000:
        _require_whole(name, size, stated, "bytes")


def _packets(container: av.container.InputContainer, name: str) -> Iterator[av.Packet]:
    """All packets of all streams; raises at the end if the file stops well before the length its header states."""
    # Matroska counts its length from zero, the other formats from the first packet.
    matroska = container.format.name == "matroska,webm"
    start = 0.0 if matroska else (container.start_time or 0) / av.time_base
    reached = 0.0
    for packet in container.demux():
        if packet.pts is not None:
            reached = max(reached, float((packet.pts + (packet.duration or 0)) * packet.time_base) - start)
        yield packet
    if container.format.name in STATING_LENGTH:
        _require_whole(name, reached, (container.duration or 0) / av.time_base, "seconds")


def _require_whole(name: str, present: float, stated: float, unit: str) -> None:
    if stated - present > max(SLACK, 0.05 * stated):
        raise MediaError(f"{name}: cut short, {present:.4g} of {stated:.4g} {unit} are there; fetch the file again")


def _video_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    best = container.streams.best("video")
    pictures = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not pictures:
        raise MediaError(f"{name}: holds no video" + (", only sound" if container.streams.audio else ""))
    return best if best in pictures else pictures[0]


def _iter_clip(path: str | Path, fps: float, at: str) -> Iterator[ClipPart]:
    with ExitStack() as stack:
        sounds = None
        for origin, seconds, image in _iter_frames(path, fps, at):
            if sounds is None:
                sounds = stack.enter_context(closing(_iter_sound_under_video(path, origin, fps)))
            yield ClipPart(seconds, image, *next(sounds))


class _TimedFrame(NamedTuple):
    frame: av.VideoFrame
    begin: float  # seconds from the first frame
    end: float
    origin: float  # second on the file's clock at which the first frame appears


def _iter_frames(path: str | Path, fps: float, at: str) -> Iterator[tuple[float, float, np.ndarray]]:
    """Origin of the video on the file's clock, seconds from there, and image of each chosen frame."""
    name, shape = _name(path), None
    with _opened(path) as container:
        stream = _video_stream(container, name)
        stream.thread_type = "AUTO"
        for timed in _choose(_timed_frames(container, stream, name), fps, at):
            image = _upright(timed.frame)
            if shape not in (None, image.shape):
                raise MediaError(f"{name}: the picture size changes from {shape[:2]} to {image.shape[:2]} on the way")
            shape = image.shape
            yield timed.origin, timed.begin, image
    if shape is None:
        raise MediaError(f"{name}: not one video frame can be decoded")


def _timed_frames(container: av.container.InputContainer, stream: av.VideoStream, name: str) -> Iterator[_TimedFrame]:
    stated = float((stream.start_time or 0) * stream.time_base)
    usual = 1 / float(stream.average_rate) if stream.average_rate else 0.0
    origin, end = None, 0.0
    for packet in _packets(container, name):
        if packet.stream.index != stream.index:
            continue
        for frame in packet.decode():
            if frame.is_corrupt:
                raise MediaError(f"{name}: damaged, the frame after {end:.2f} s cannot be decoded whole")
            if origin is None:
                origin = stated if frame.time is None else frame.time
                if origin - stated > SLACK:
                    raise MediaError(f"{name}: damaged, its first {origin - stated:.2f} s cannot be decoded")
            begin = end if frame.time is None else frame.time - origin
            end = begin + (float(frame.duration * frame.time_base) if frame.duration else usual)
            yield _TimedFrame(frame, begin, end, origin)


def _choose(timed_frames: Iterable[_TimedFrame], fps: float, at: str) -> Iterator[_TimedFrame]:
    """One frame for each full interval, at least one in all."""
    index, first, shown = 0, None, None
    for timed in timed_frames:
        while shown is not None and timed.begin > (index + 1) / fps - SAME_INSTANT:
            yield shown if at == "end" else first
            index, first = index + 1, shown
        if first is None or timed.begin < index / fps + SAME_INSTANT:
            first = timed
        shown = timed
    while shown is not None and (index == 0 or shown.end > (index + 1) / fps - SAME_INSTANT):
        yield shown if at == "end" else first
        index, first = index + 1, shown


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """RGB pixels with the rotation or mirroring of the file's display matrix applied, in quarter turns."""
    image = frame.to_ndarray(format="rgb24")
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    # Stored column x and row y are shown at column a x + c y and row b x + d y, up to a shift.
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].astype(np.int64)
    if abs(b) > abs(a):
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


class _Sound(NamedTuple):
    samples: np.ndarray  # [channels, n]
    begin: float  # second on the file's clock at which the stream begins
    rate: int


def _iter_sound(container: av.container.InputContainer, stream: av.AudioStream, name: str) -> Iterator[_Sound]:
    """The stream piece by piece, with zeros where packets were lost."""
    _require_usual_channels(stream, name)
    # Packed samples: of planar ones PyAV looks for channels past the eighth where there are none.
    resampler = av.AudioResampler(format="flt")
    filled, begin, rate, layout = 0, 0.0, 0, ""
    for packet in _packets(container, name):
        if packet.stream.index != stream.index:
            continue
        for frame in packet.decode():
            if not filled:
                begin, rate, layout = frame.time or 0.0, frame.sample_rate, frame.layout.name
            if (frame.sample_rate, frame.layout.name) != (rate, layout):
                raise MediaError(
                    f"{name}: the sound changes from {layout} at {rate} Hz to "
                    f"{frame.layout.name} at {frame.sample_rate} Hz on the way"
                )
            lost = 0 if frame.time is None else round((frame.time - begin) * rate) - filled
            if lost > SOUND_GAP * rate:
                yield _Sound(np.zeros((frame.layout.nb_channels, lost), np.float32), begin, rate)
                filled += lost
            filled += frame.samples
            for part in resampler.resample(frame):
                samples = part.to_ndarray().reshape(part.samples, -1)
                yield _Sound(np.ascontiguousarray(samples.T), begin, rate)


def _require_usual_channels(stream: av.AudioStream, name: str) -> None:
    """Before a frame is decoded: refuse channel maps of a file's own, whose memory PyAV frees twice."""
    if stream.codec_context is None:
        raise MediaError(f"{name}: its sound is in a format without a decoder here")
    layout = stream.layout
    described, _, speakers = layout.name.partition(" channels (")
    places = [SPEAKERS.index(speaker) if speaker in SPEAKERS else -1 for speaker in speakers.rstrip(")").split("+")]
    if speakers and places != sorted({*places} - {-1}):
        # The first of these frees is this object's own, so it has to stay.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
        raise MediaError(
            f"{name}: its {described} channels of sound have no usual layout; "
            "give sound in mono, stereo, 5.1, 7.1 or the like"
        )
    if layout.nb_channels > MAX_CHANNELS:
        raise MediaError(f"{name}: has {layout.nb_channels} channels of sound; up to {MAX_CHANNELS} are taken")


def _iter_sound_under_video(
    path: str | Path, origin: float, fps: float
) -> Iterator[tuple[np.ndarray, int] | tuple[None, None]]:
    """Without end: the sound of each interval from `origin` on the file's clock and its rate, zeros where it is
    absent; (None, None) without sound."""
    name = _name(path)
    with _opened(path) as container:
        stream = container.streams.best("audio", _video_stream(container, name))
        pieces = _iter_sound(container, stream, name) if stream else iter(())
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


def _checked_frame(frame: np.ndarray, index: int, shape: tuple[int, ...]) -> np.ndarray:
    frame = np.asarray(frame)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
        raise ValueError(f"frame {index} is {frame.dtype} {list(frame.shape)}; frames are uint8 [H, W, 3]")
    if shape not in ((), frame.shape):
        raise ValueError(f"frame {index} is {list(frame.shape)}, the first is {list(shape)}; give one size")
    return frame


def _checked_sound(waveform: np.ndarray, sampling_rate: int | None) -> np.ndarray:
    """float32 `[1 or 2, samples]` in [-1, 1]."""
    sound = np.atleast_2d(np.asarray(waveform))
    if sound.ndim != 2 or not np.issubdtype(sound.dtype, np.floating) or not np.isfinite(sound).all():
        raise ValueError(
            f"waveform is {sound.dtype} {list(sound.shape)}; give finite floats [channels, samples] or [samples]"
        )
    if sound.shape[0] > 32:
        raise ValueError(f"waveform is {list(sound.shape)}; channels come first: [channels, samples]")
    if not isinstance(sampling_rate, int | np.integer) or sampling_rate <= 0:
        raise ValueError(f"sampling_rate is {sampling_rate}; a waveform needs its samples per second")
    if sound.shape[0] > 2:
        sound = sound.mean(axis=0, keepdims=True)
    return np.clip(sound, -1, 1).astype(np.float32)
