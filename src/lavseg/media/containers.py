"""Opens media files with PyAV: one file of a known format, whole, and nothing it may refer to."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.stream import Disposition

from .errors import MediaError
from .file_headers import stated_size
from .packets import opened, source_name

# FFmpeg's names of the formats that are opened: each keeps everything in one file. Playlists, image sequences, session
# descriptions and devices are not among them; those name other files, and whoever wrote them chooses which are read.
CONTAINERS = (
    *("mov", "matroska", "avi", "flv", "mpegts", "mpeg", "asf", "ogg", "mxf", "nut", "rm", "dv", "gif", "ivf"),
    *("h264", "hevc", "m4v", "mpegvideo", "mjpeg", "obu", "yuv4mpegpipe"),
    *("wav", "w64", "flac", "mp3", "aac", "ac3", "eac3", "aiff", "au", "caf", "amr", "wv", "tta"),
)
# Seconds that FFmpeg may take to open a file, and to read on in it.
PATIENCE = 60


@contextmanager
def open_media(source: str | Path | bytes) -> Iterator[av.container.InputContainer]:
    """Open a file for reading; whatever FFmpeg refuses, now or while it is read, becomes a MediaError."""
    name = source_name(source)
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
        _require_whole_file(source, size)
        with _open_container(name, file) as container:
            yield container
    except IndexError as error:
        # PyAV on a stream that begins after the file was opened.
        raise MediaError(f"{name}: damaged, a stream begins in the middle that its header does not state") from error
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
    except (av.ArgumentError, av.InvalidDataError, av.EOFError) as error:
        # The end of the file comes where a text holds the letter that MPEG-TS packets begin with.
        raise MediaError(
            f"{name}: damaged or not a media file of a kind that is taken (mp4, mov, mkv, webm, avi, wav, mp3 and the "
            "like); playlists and other lists of files are refused"
        ) from error


def _require_whole_file(source: str | Path | bytes, size: int) -> None:
    """FFmpeg reads what is left of a file that was cut short and says nothing, so the size is looked at."""
    with opened(source) as file:
        stated = stated_size(file)
    if stated > size:
        raise MediaError(f"{source_name(source)}: cut short, {size} of {stated} bytes are there; fetch the file again")


def video_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """FFmpeg's best stream of pictures; cover art is none.

    Raises:
        MediaError: there is no such stream.
    """
    best = container.streams.best("video")
    pictures = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not pictures:
        raise MediaError(f"{name}: holds no video" + (", only sound" if container.streams.audio else ""))
    return best if best in pictures else pictures[0]
