"""Clips from and to files: frames at a steady rate, the sound under them, and mp4 files with both."""

from .errors import MediaError, MediaWarning
from .frames import as_frames
from .reading import (
    SAME_INSTANT,
    Clip,
    ClipPart,
    ClipReader,
    VideoInfo,
    inspect_video,
    iter_clip,
    iter_frames,
    read_audio,
    read_video,
)
from .writing import VideoWriter, write_video

__all__ = [
    "SAME_INSTANT",
    "Clip",
    "ClipPart",
    "ClipReader",
    "MediaError",
    "MediaWarning",
    "VideoInfo",
    "VideoWriter",
    "as_frames",
    "inspect_video",
    "iter_clip",
    "iter_frames",
    "read_audio",
    "read_video",
    "write_video",
]
