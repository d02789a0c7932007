"""How frames become Mask2Former's input."""

from typing import Any

import numpy as np
import torch
from PIL import Image


def resize_by_pil(frames: list[torch.Tensor], size: int) -> list[torch.Tensor]:
    """Frames uint8 `[3, H, W]` at `size x size`, bilinear and smoothed, as Transformers did it before it resized with
    torchvision, which moves normalised pixels by up to 1.8e-2. A saved image processor that resizes by PIL is loaded as
    one that does not, so that it is done before."""
    images = (Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in frames)
    resized = (image.resize((size, size), Image.Resampling.BILINEAR) for image in images)
    return [torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in resized]


# What PIL does before the image processor is called.
_FIXED_OPTIONS = ("size", "resample", "do_resize")


class PilSquaresMixin:
    """Gives an `AudioVisualProcessor` frames that PIL brings to the square of its image processor."""

    def image_inputs(self, frames: list[torch.Tensor], **images_kwargs: Any) -> dict[str, torch.Tensor]:
        for name in (name for name in _FIXED_OPTIONS if name in images_kwargs):
            raise ValueError(
                f"{name}: {type(self).__name__} resizes to the model's frames, bilinear by PIL; leave it out"
            )
        resized = resize_by_pil(frames, self.image_processor.size["height"])
        return super().image_inputs(resized, **{"do_resize": False, **images_kwargs})
