"""Frames and sound of an open media file, decoded and placed on the file's clock."""

import ctypes
from collections.abc import Iterator
from typing import NamedTuple

import av
import numpy as np

from .containers import SLACK, iter_packets
from .errors import MediaError

# Sound that jumps ahead by more than this many seconds has lost packets.
SOUND_GAP = 0.05
# As many as `write_video` takes.
MAX_CHANNELS = 32
# The speakers of a WAV file's channel mask in their order, which is also FFmpeg's.
SPEAKERS = (
    *("FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR"),
    *("TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR"),
)


class TimedFrame(NamedTuple):
    """A decoded frame and its times."""

    frame: av.VideoFrame
    begin: float  # seconds from the first frame
    end: float
    origin: float  # second on the file's clock at which the first frame appears


def iter_timed_frames(
    container: av.container.InputContainer, stream: av.VideoStream, name: str
) -> Iterator[TimedFrame]:
    """The frames of a stream with their times, one in memory.

    Raises:
        MediaError: a frame cannot be decoded whole, or the first ones not at all.
    """
    stated = float((stream.start_time or 0) * stream.time_base)
    usual = 1 / float(stream.average_rate) if stream.average_rate else 0.0
    origin, end = None, 0.0
    for packet in iter_packets(container, name):
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
            yield TimedFrame(frame, begin, end, origin)


def display_matrix(frame: av.VideoFrame) -> np.ndarray | None:
    """The first five numbers of a frame's display matrix, where it has one.

    To be asked seldom: a frame and its side data hold each other, so it stays in memory until Python collects cycles.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return None if matrix is None else np.frombuffer(bytes(matrix), np.int32)[:5].astype(np.int64)


def upright(frame: av.VideoFrame, matrix: np.ndarray | None) -> np.ndarray:
    """RGB pixels with the rotation or mirroring of a display matrix applied, in quarter turns."""
    image = frame.to_ndarray(format="rgb24")
    if matrix is None:
        return image
    # Stored column x and row y are shown at column a x + c y and row b x + d y, up to a shift.
    a, b, _, c, d = matrix
    if abs(b) > abs(a):
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


class Sound(NamedTuple):
    """A piece of a stream of sound."""

    samples: np.ndarray  # [channels, n]
    begin: float  # second on the file's clock at which the stream begins
    rate: int


def iter_sound(container: av.container.InputContainer, stream: av.AudioStream, name: str) -> Iterator[Sound]:
    """A stream piece by piece, with zeros where packets were lost.

    Raises:
        MediaError: the sound changes its rate or channels, or cannot be decoded.
    """
    require_usual_channels(stream, name)
    # Packed samples: of planar ones PyAV looks for channels past the eighth where there are none.
    resampler = av.AudioResampler(format="flt")
    filled, begin, rate, layout = 0, 0.0, 0, ""
    for packet in iter_packets(container, name):
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
                yield Sound(np.zeros((frame.layout.nb_channels, lost), np.float32), begin, rate)
                filled += lost
            filled += frame.samples
            for part in resampler.resample(frame):
                samples = part.to_ndarray().reshape(part.samples, -1)
                yield Sound(np.ascontiguousarray(samples.T), begin, rate)


def require_usual_channels(stream: av.AudioStream, name: str) -> None:
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
