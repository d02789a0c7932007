"""How frames become the input of methods whose releases resize them by PIL."""

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from PIL import Image

# What PIL does before the image processor is called.
_FIXED_OPTIONS = ("size", "resample", "do_resize")


def refuse_resizing(owner: str, options: Collection[str]) -> None:
    """Options of an image processor that `resize_by_pil` makes void.

    Args:
        owner: the processor, for the message.

    Raises:
        ValueError: that names the first of them.
    """
    for name in (name for name in _FIXED_OPTIONS if name in options):
        raise ValueError(f"{name}: {owner} resizes to the model's frames, bilinear by PIL; leave it out")


def resize_by_pil(frames: list[torch.Tensor], size: tuple[int, int]) -> list[torch.Tensor]:
    """Frames uint8 `[3, H, W]` at `size`, height and width, bilinear and smoothed, as Transformers did it before it
    resized with torchvision, which moves normalised pixels by up to 1.8e-2. A saved image processor that resizes by PIL
    is loaded as one that does not, so that it is done before."""
    images = (Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in frames)
    resized = (image.resize(size[::-1], Image.Resampling.BILINEAR) for image in images)
    return [torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in resized]


class PilSquaresMixin:
    """Gives an `AudioVisualProcessor` frames that PIL brings to the square of its image processor."""

    def image_inputs(self, frames: list[torch.Tensor], **images_kwargs: Any) -> dict[str, torch.Tensor]:
        refuse_resizing(type(self).__name__, images_kwargs)
        edge = self.image_processor.size["height"]
        resized = resize_by_pil(frames, (edge, edge))
        return super().image_inputs(resized, **{"do_resize": False, **images_kwargs})
