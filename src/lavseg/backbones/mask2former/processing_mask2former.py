"""How frames become the input of methods whose releases resize them by PIL."""

import numpy as np
import torch
from PIL import Image


def resize_by_pil(frames: list[torch.Tensor], size: tuple[int, int]) -> list[torch.Tensor]:
    """Frames uint8 `[3, H, W]` at `size`, height and width, bilinear and smoothed, as Transformers did it before it
    resized with torchvision, which moves normalised pixels by up to 1.8e-2. A saved image processor that resizes by PIL
    is loaded as one that does not, so that it is done before."""
    images = (Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in frames)
    resized = (image.resize(size[::-1], Image.Resampling.BILINEAR) for image in images)
    return [torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in resized]
