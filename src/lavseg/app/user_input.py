"""What the page takes from its users: clips and sentences, checked, with messages they can act on."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from html import escape
from pathlib import Path

import gradio as gr
import numpy as np

from ..media import ClipReader

MAX_MEGABYTES = 200
MAX_SECONDS = 60
# The longer and the shorter side of a picture: frames of a window are held in memory, and one mask for each sentence.
MAX_SIDES = (4096, 2304)
# All are decoded, whatever the rate at which the model looks at them: 120 a second.
MAX_FRAMES = 7200
MAX_SENTENCES, MAX_CHARACTERS = 8, 500


@contextmanager
def shown_errors(clip: str | None) -> Iterator[None]:
    """Show what is wrong with the user's input as a message on the page, with the clip's name and not its place."""
    try:
        yield
    except ValueError as error:
        message = str(error)
        if clip is not None:
            message = message.replace(clip, Path(clip).name)
        raise gr.Error(escape(message), print_exception=False) from error


def check_clip(clip: ClipReader, needs_audio: bool) -> None:
    """Refuse a clip that is not taken here.

    Raises:
        ValueError: (of which `MediaError` is one) it is damaged, too long or too large, or carries no sound where
            the model needs it.
    """
    seconds = clip.info.seconds
    if seconds > MAX_SECONDS:
        raise ValueError(
            f"{clip.path}: lasts {seconds:.0f} seconds; clips of up to {MAX_SECONDS} are taken here, longer ones by "
            "the command lavseg segment"
        )
    frames = round(seconds * clip.info.fps)
    if frames > MAX_FRAMES:
        raise ValueError(f"{clip.path}: has {frames} frames; up to {MAX_FRAMES} are taken here")
    with closing(clip.iter_clip()) as parts:
        first = next(parts)
    height, width, _ = first.frame.shape
    if max(height, width) > MAX_SIDES[0] or min(height, width) > MAX_SIDES[1]:
        most = "x".join(map(str, MAX_SIDES))
        raise ValueError(f"{clip.path}: its pictures are {width}x{height}; up to {most} are taken here")
    if needs_audio and first.waveform is None:
        raise ValueError(f"{clip.path}: carries no sound, which the model needs")


def filled_lines(sentences: str) -> list[str]:
    """The lines that say something."""
    return [line.strip() for line in sentences.splitlines() if line.strip()]


def split_sentences(sentences: str) -> list[str]:
    """The lines that say something.

    Raises:
        ValueError: there are none, or too many.
    """
    texts = filled_lines(sentences)
    if not texts:
        raise ValueError("Write a sentence that says which object is meant, such as: the louder of the two dogs")
    if len(texts) > MAX_SENTENCES:
        raise ValueError(f"{len(texts)} sentences were given; up to {MAX_SENTENCES} are taken at a time")
    longest = max(map(len, texts))
    if longest > MAX_CHARACTERS:
        raise ValueError(f"A sentence has {longest} characters; up to {MAX_CHARACTERS} are taken")
    return texts


def mask_logit(threshold: float) -> float:
    """The logit of a probability, above which a pixel is in the mask.

    Raises:
        ValueError: it is no probability between 0 and 1.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"The threshold is {threshold:g}; give a number between 0 and 1, without these")
    return float(-np.log(1 / threshold - 1))
