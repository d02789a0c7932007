"""Frames and sound of an open media file, decoded and placed on the file's clock."""

import ctypes
import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from .errors import MediaError
from .packets import SLACK, iter_packets, source_name, warn

# Sound that jumps ahead by more than this many seconds has lost packets.
SOUND_GAP = 0.05
# Seconds by which time stamps may jump ahead.
LONGEST_GAP = 600.0
# As many as `write_video` takes.
MAX_CHANNELS = 32
# The speakers of a WAV file's channel mask in their order, which is also FFmpeg's.
SPEAKERS = (
    *("FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR"),
    *("TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR"),
)
# Containers, by FFmpeg's names, that do not say when frames are shown, and the stamp of packets that rises with them.
CLOCKS_OF_PACKETS = {"avi": "dts", "mpegvideo": "dts", "mxf": "pts", "asf": "pts"}


class TimedFrame(NamedTuple):
    """A decoded frame and its times."""

    frame: av.VideoFrame
    begin: float  # seconds from the first frame
    end: float
    origin: float  # second on the file's clock at which the first frame appears


def iter_timed_frames(
    container: av.container.InputContainer, stream: av.VideoStream, source: str | Path | bytes
) -> Iterator[TimedFrame]:
    """The frames of a stream with their times, one in memory.

    Raises:
        MediaError: a frame cannot be decoded whole, or the first or last ones not at all; times go back, or far ahead.
    """
    name, shown = source_name(source), _PacketTimes(container.format.name)
    gaps = _Gaps(f"{name}: its video", SLACK, "the frame before is shown on")
    stated = float((stream.start_time or 0) * stream.time_base)
    usual = 1 / float(stream.average_rate) if stream.average_rate else 0.0
    origin, begin, end = None, 0.0, 0.0
    for packet in iter_packets(container, stream, source):
        shown.add(packet)
        for frame in packet.decode():
            if frame.is_corrupt:
                raise MediaError(f"{name}: damaged, the frame after {end:.2f} s cannot be decoded whole")
            time = shown.of_next(frame)
            if origin is None:
                origin = stated if time is None else time
                if origin - stated > SLACK:
                    raise MediaError(
                        f"{name}: damaged, its first {origin - stated:.2f} s cannot be decoded; cut them off, as with: "
                        f"ffmpeg -ss {origin - stated:.2f} -i {name} new.mp4"
                    )
            last, begin = begin, end if time is None else time - origin
            if begin < last:
                raise MediaError(f"{name}: damaged, its time stamps go back from {last:.2f} to {begin:.2f} s")
            gaps.check(end, begin)
            end = begin + (float(frame.duration * frame.time_base) if frame.duration else usual)
            yield TimedFrame(frame, begin, end, origin)
    if origin is not None and shown.end - origin - end > SLACK:
        raise MediaError(f"{name}: damaged, its last {shown.end - origin - end:.2f} s cannot be decoded")


class _Gaps:
    """Says at the first place where the times of a stream jump ahead what stands there.

    Args:
        stream: the file and which of its streams.
        least: seconds that are no gap.
        instead: what stands in a gap.
    """

    def __init__(self, stream: str, least: float, instead: str):
        self.stream, self.least, self.instead, self.told = stream, least, instead, False

    def check(self, end: float, begin: float) -> None:
        """Take in when one piece ends and the next one begins.

        Raises:
            MediaError: they are further apart than `LONGEST_GAP`.
        """
        if begin - end > LONGEST_GAP:
            raise MediaError(f"{self.stream} is damaged, its time stamps jump from {end:.2f} to {begin:.4g} s")
        if begin - end > self.least and not self.told:
            warn(f"{self.stream} has a gap from {end:.2f} to {begin:.2f} s, or several; {self.instead}")
            self.told = True


class _PacketTimes:
    """When frames are shown, in a container that stamps packets in the order of decoding.

    Args:
        container: FFmpeg's name.
    """

    def __init__(self, container: str):
        self.clock = CLOCKS_OF_PACKETS.get(container)
        self.waiting: list[float] = []
        self.end = 0.0

    def add(self, packet: av.Packet) -> None:
        """Note when a packet is shown that goes to the decoder."""
        if packet.size and packet.pts is not None and not packet.is_discard:
            self.end = max(self.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if self.clock and packet.size and (stamp := getattr(packet, self.clock)) is not None:
            heapq.heappush(self.waiting, float(stamp * packet.time_base))

    def of_next(self, frame: av.VideoFrame) -> float | None:
        """Seconds on the file's clock of the frame that the decoder gives next; frames come as they are shown."""
        return heapq.heappop(self.waiting) if self.waiting else frame.time


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


def iter_sound(
    container: av.container.InputContainer, stream: av.AudioStream, source: str | Path | bytes
) -> Iterator[Sound]:
    """A stream piece by piece, with zeros where packets were lost.

    Raises:
        MediaError: the sound changes its rate or channels, or cannot be decoded.
    """
    name = source_name(source)
    gaps = _Gaps(f"{name}: its sound", SOUND_GAP, "silence stands there")
    require_usual_channels(stream, name)
    # Packed samples: of planar ones PyAV looks for channels past the eighth where there are none.
    resampler = av.AudioResampler(format="flt")
    filled, begin, rate, layout = 0, 0.0, 0, ""
    for packet in iter_packets(container, stream, source):
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
                gaps.check(filled / rate, (filled + lost) / rate)
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
