"""A synthetic video file, and the part of a page that shows it segmented."""

from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from lavseg.data import SceneObject, render_clip
from lavseg.data.synthetic.rendering import SAMPLING_RATE
from lavseg.media import write_video

from .page import data_uri, section, swatch


@dataclass(frozen=True)
class Video:
    """An overlay video and what its colours mean, `(text, [r, g, b])`."""

    path: Path
    sentences: list[tuple[str, list[int]]]


def write_scene(path: Path, rng: np.random.Generator, objects: list[SceneObject]) -> None:
    """Write a video file with sound, ten seconds of these objects."""
    clip = render_clip(rng, frame_size=(224, 288), objects=objects)
    write_video(path, clip.frames, 1, clip.waveform, SAMPLING_RATE)


def video_section(video: Video) -> str:
    """A player, and what the colours mean."""
    source = data_uri("video/mp4", video.path.read_bytes())
    legend = "".join(f"<li>{swatch(color)}{escape(text)}</li>" for text, color in video.sentences)
    return section(
        "A video file, segmented",
        "What <code>lavseg segment</code> writes: one frame per second with the clip's sound.",
        f'<div class="player"><video controls loop src="{source}"></video><ul>{legend}</ul></div>',
    )
