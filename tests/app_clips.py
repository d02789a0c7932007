"""What tests of the web app give it, and what they take from it."""

import io
import zipfile

import numpy as np
from PIL import Image

from lavseg.data import render_clip
from lavseg.media import write_video

SECONDS = 4
TEXTS = ["the red circle", "the <b>object</b> making a sound"]


def save_clips(folder):
    """A clip, one without sound, a file that is none, and one that was cut short."""
    clip = render_clip(np.random.default_rng(0), SECONDS, (60, 82))
    write_video(folder / "clip.mp4", clip.frames, 1, clip.waveform, 16000)
    write_video(folder / "mute.mp4", clip.frames, 1)
    (folder / "notes.mp4").write_text("no video")
    (folder / "half.mp4").write_bytes((folder / "clip.mp4").read_bytes()[:3000])
    return folder


def masks_in(archive):
    """The masks `[E, T, H, W]` and the labels of a zip file."""
    with zipfile.ZipFile(archive) as files:
        names = sorted(name for name in files.namelist() if name.endswith(".png"))
        masks = [np.asarray(Image.open(io.BytesIO(files.read(name)))) > 0 for name in names]
        labels = files.read("labels.txt").decode().splitlines()
    assert names == [f"{i}/{t:05d}.png" for i in range(len(labels)) for t in range(len(names) // len(labels))]
    return np.stack(masks).reshape(len(labels), -1, *masks[0].shape), labels
