"""The kinds of clips, sounds and sentences that processors take, brought to one form."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image


def _is_clip(video: Any) -> bool:
    """Whether `video` is one clip rather than a list of clips."""
    if not isinstance(video, list | tuple) or not video:
        return True
    first = video[0]
    if isinstance(first, np.ndarray | torch.Tensor):
        return first.ndim != 4
    return not isinstance(first, str | Path | list | tuple)


def as_batch(video: Any, audio: Any, text: Any, sampling_rate: Any) -> tuple[list, list, list[list[str]] | None, list]:
    """All arguments as lists over clips; `text` as a list of lists."""
    if _is_clip(video):
        texts = None if text is None else [_expressions(text, "text")]
        return [video], [audio], texts, [sampling_rate]
    count = len(video)
    audios = [None] * count if audio is None else _one_a_clip(audio, count, "audio", "paths or waveforms")
    texts = text
    if text is not None:
        texts = _one_a_clip(text, count, "text", "expressions, or of lists of expressions")
        texts = [_expressions(entry, f"text[{index}]") for index, entry in enumerate(texts)]
    if isinstance(sampling_rate, list | tuple):
        rates = _one_a_clip(sampling_rate, count, "sampling_rate", "rates in Hz, or one for all")
    else:
        rates = [sampling_rate] * count
    return list(video), audios, texts, rates


def _one_a_clip(values: Any, count: int, name: str, kind: str) -> list:
    given = len(values) if isinstance(values, list | tuple) else type(values).__name__
    if given != count:
        raise ValueError(f"{name}: the {count} clips of video take a list of {count} {kind}, got {given}")
    return list(values)


def _expressions(text: Any, name: str) -> list[str]:
    expressions = [text] if isinstance(text, str) else text
    if not isinstance(expressions, list | tuple) or not expressions:
        raise ValueError(f"{name}: has to be a string or a list of strings, got {text!r}")
    for expression in expressions:
        if not isinstance(expression, str):
            raise ValueError(
                f"{name}: has to be a string or a list of strings, got a {type(expression).__name__} in it"
            )
        if not expression.strip():
            raise ValueError(f"{name}: an expression is empty; say which object is meant")
    return list(expressions)


def as_frames(video: Any, name: str) -> torch.Tensor:
    """Frames of a clip as uint8 `[T, 3, H, W]`."""
    if isinstance(video, list | tuple):
        video = _stack_frames(video, name)
    if not isinstance(video, np.ndarray | torch.Tensor):
        raise ValueError(
            f"{name}: has to be a path, a list of PIL images or an array [T, H, W, 3], got {type(video).__name__}"
        )
    if video.ndim != 4 or video.shape[-1] != 3 or 0 in video.shape:
        raise ValueError(f"{name}: has to be [T, H, W, 3] with at least one frame, got {list(video.shape)}")
    if str(video.dtype).removeprefix("torch.") != "uint8":
        raise ValueError(f"{name}: has to hold uint8 values 0..255, got {video.dtype}; scale and convert it")
    if isinstance(video, np.ndarray):
        video = torch.from_numpy(np.require(video, requirements=["C", "W"]))
    return video.permute(0, 3, 1, 2)


def _stack_frames(frames: Sequence[Any], name: str) -> np.ndarray:
    """Single frames as one array `[T, H, W, 3]`."""
    if not frames:
        raise ValueError(f"{name}: the clip has no frames, it takes at least one")
    images = []
    for index, frame in enumerate(frames):
        if isinstance(frame, Image.Image):
            frame = np.asarray(frame.convert("RGB"))
        elif not isinstance(frame, np.ndarray):
            raise ValueError(f"{name}: has to be a list of PIL images, got a {type(frame).__name__} at index {index}")
        images.append(frame)
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise ValueError(f"{name}: the frames of a clip have one size, got {sorted(shapes)}")
    return np.stack(images)


def pad_sounds(sounds: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Patches of clips of several lengths as one batch; those of shorter clips end in zeros, which the mask hides."""
    pad = torch.nn.utils.rnn.pad_sequence
    audio_mask = pad([torch.ones(len(patches), dtype=torch.bool) for patches in sounds], batch_first=True)
    return {"input_features": pad(sounds, batch_first=True), "audio_mask": audio_mask}
