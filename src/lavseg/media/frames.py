"""The frames of a clip that is no file, in any form, brought to one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch


def as_frames(video: Any, name: str) -> "torch.Tensor":
    """Frames of a clip as uint8 `[T, 3, H, W]`."""
    # What reads files in a process of its own needs no torch.
    import torch

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
            if frame.mode.startswith("I") or frame.mode == "F":
                raise ValueError(
                    f"{name}: the image at index {index} has mode {frame.mode}, of more than 8 bits; "
                    "scale it to 8 bits, 0..255"
                )
            frame = np.asarray(frame.convert("RGB"))
        elif not isinstance(frame, np.ndarray):
            raise ValueError(f"{name}: has to be a list of PIL images, got a {type(frame).__name__} at index {index}")
        images.append(frame)
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise ValueError(f"{name}: the frames of a clip have one size, got {sorted(shapes)}")
    return np.stack(images)
