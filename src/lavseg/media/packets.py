"""The packets of an open file, compared with what its header states and with each other."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import av
from av.stream import Disposition

from .errors import MediaError, MediaWarning
from .file_headers import stated_seconds

# Seconds that may be missing at a clip's beginning or end: headers and streams seldom agree to the frame. For long
# clips, where sums of rounded lengths differ by more, a twentieth of them, up to the second number.
SLACK, LONG_SLACK = 0.25, 1.0
# Seconds by which sound may be longer or shorter than the video without a word: frames that stand for a second each
# leave out up to one, and containers add a little.
SOUND_SLACK = 1.5
# FFmpeg's names of formats whose header states the length; for the others it guesses from the bit rate. In those of
# the second set it does so for each stream.
STATING_LENGTH = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "flv", "ogg", "flac", "asf", "mxf"}
STATING_LENGTH_OF_STREAMS = {"mov,mp4,m4a,3gp,3g2,mj2", "avi"}


def source_name(source: str | Path | bytes) -> str:
    """What errors call a file."""
    return f"<{len(source)} bytes>" if isinstance(source, bytes) else str(source)


@contextmanager
def opened(source: str | Path | bytes) -> Iterator[BinaryIO]:
    """A file to be read byte by byte."""
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        yield file


class _Extent:
    """What was seen of one stream: when its packets begin and end, in seconds on the file's clock, and their number."""

    def __init__(self):
        self.begin, self.end, self.count = float("inf"), float("-inf"), 0

    def add(self, packet: av.Packet) -> None:
        """Take in a packet that is shown."""
        self.count += 1
        if packet.pts is not None:
            begin = float(packet.pts * packet.time_base)
            self.begin = min(self.begin, begin)
            self.end = max(self.end, begin + float((packet.duration or 0) * packet.time_base))

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return max(self.end - self.begin, 0.0)


def iter_packets(
    container: av.container.InputContainer, stream: av.VideoStream | av.AudioStream, source: str | Path | bytes
) -> Iterator[av.Packet]:
    """The packets of a stream, while those of all streams of picture and sound are watched.

    Raises:
        MediaError: a stream is shorter, or longer, than the header states. Longer ones are noticed on the way.
    """
    name = source_name(source)
    extents = {each.index: _Extent() for each in (*container.streams.video, *container.streams.audio)}
    # Matroska counts its length from zero, the other formats from the first packet.
    start = 0.0 if container.format.name == "matroska,webm" else (container.start_time or 0) / av.time_base
    states = container.format.name in STATING_LENGTH
    stated = (container.duration or 0) / av.time_base if states else 0.0
    for packet in container.demux():
        extent = extents.get(packet.stream.index)
        if extent and packet.size and not packet.is_discard:
            extent.add(packet)
            if stated and extent.end - start - stated > _allowed(stated):
                raise MediaError(
                    f"{name}: damaged, its header states {stated:.4g} seconds and its time stamps go on to "
                    f"{extent.end - start:.4g}; write it anew"
                )
        if packet.stream.index == stream.index:
            yield packet
    if states:
        _require_length(name, max(extent.end for extent in extents.values()) - start, stated)
    if container.format.name in STATING_LENGTH_OF_STREAMS:
        _require_lengths_of_streams(container, extents, source)
    _warn_of_oddities(container, stream, extents, name)


def _require_lengths_of_streams(
    container: av.container.InputContainer, extents: dict[int, _Extent], source: str | Path | bytes
) -> None:
    with opened(source) as file:
        tracks = stated_seconds(file)
    for stream in container.streams:
        if stream.type not in ("video", "audio") or stream.disposition & Disposition.attached_pic:
            continue
        name, extent = f"{source_name(source)}: the {stream.type} of stream {stream.index}", extents[stream.index]
        if stream.duration:
            _require_length(name, extent.seconds, float(stream.duration * stream.time_base))
        if len(tracks) == len(container.streams):
            # A track's length counts the time before it begins.
            _require_length(name, max(extent.seconds, extent.end), tracks[stream.index])


def _allowed(stated: float) -> float:
    return max(SLACK, min(0.05 * stated, LONG_SLACK))


def _require_length(name: str, present: float, stated: float) -> None:
    if stated - present > _allowed(stated):
        raise MediaError(
            f"{name}: cut short, {max(present, 0):.4g} of {stated:.4g} seconds are there; fetch the file again"
        )


def _warn_of_oddities(
    container: av.container.InputContainer,
    stream: av.VideoStream | av.AudioStream,
    extents: dict[int, _Extent],
    name: str,
) -> None:
    """Say, once for a file, what is left out of it and where picture and sound differ."""
    taken = extents[stream.index]
    left_out = stream.frames - taken.count if container.format.name.startswith("mov") else 0
    if left_out > max(2, 0.05 * stream.frames):
        warn(f"{name}: its edit list leaves out {left_out} of {stream.frames} packets of {stream.type}")
    if container.format.name == "avi" and stream.type == "video" and taken.count < stream.frames:
        warn(f"{name}: {taken.count} of the {stream.frames} frames that it states are there")
    if stream.type != "video":
        return
    videos = [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]
    if len(videos) > 1:
        warn(f"{name}: holds {len(videos)} streams of video; stream {stream.index} is taken")
    sound = container.streams.best("audio", stream)
    if sound and extents[sound.index].count and abs(extents[sound.index].seconds - taken.seconds) > SOUND_SLACK:
        warn(
            f"{name}: its sound lasts {extents[sound.index].seconds:.1f} seconds and its video {taken.seconds:.1f}; "
            "where there is none, silence stands for it"
        )


def warn(message: str) -> None:
    """Say something about a file, which Python shows once."""
    warnings.warn(message, MediaWarning, stacklevel=2)
