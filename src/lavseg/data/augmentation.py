"""Random changes to whole clips for training, as AuralSAM2 (Liu et al., 2025) makes them."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

import numpy as np
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from .clip_rows import column
from .masks import mask_colors, mask_levels

# What an affine map leaves uncovered becomes the mean colour of ImageNet, or background in masks.
FILL = (123.0, 116.0, 103.0)
CLIP_JITTER, FRAME_JITTER = (0.1, 0.03, 0.03), (0.1, 0.05, 0.05)
_ADJUSTMENTS = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation)


@dataclass(frozen=True)
class ClipAugmentation:
    """Changes the frames of a row, and its masks with them, in the same way throughout the clip; sound stays as it is.

    A horizontal flip, a rotation with a horizontal shear about the centre, and a turn to gray. The defaults are what
    the released code does; its colour jitter is configured but never reaches the frames. The paper names flip, colour
    jitter and gray: `ClipAugmentation(degrees=0, shear=0, grayscale_probability=0.1, color_jitter=True)`. The masks
    take the nearest pixel, where the release enlarges them a little by interpolation. A mirrored clip keeps its
    sentence and its stereo sides, in the paper and the release as here: where sentences say left and right, or stereo
    matters, take `flip_probability=0`.

    ```python
    collator = ClipCollator(processor, augment=ClipAugmentation(degrees=10, grayscale_probability=0))
    ```

    Attributes:
        flip_probability: how likely a clip is mirrored.
        degrees: largest rotation to either side.
        shear: largest shear to either side, in degrees.
        grayscale_probability: how likely a clip becomes gray.
        color_jitter: vary brightness by 10 % and contrast and saturation by 3 % for the clip, before it may become
            gray, and then by 10 %, 5 % and 5 % for each frame.
        seed: that all draws depend on.

    Raises:
        ValueError: for a probability outside 0..1, or an angle outside 0..180 (shear: below 90), or a seed
            below 0.
    """

    flip_probability: float = 0.5
    degrees: float = 25.0
    shear: float = 20.0
    grayscale_probability: float = 0.05
    color_jitter: bool = False
    seed: int = 0

    def __post_init__(self):
        for name in ("flip_probability", "grayscale_probability", "degrees", "shear", "seed"):
            if not isinstance(getattr(self, name), Real):
                raise ValueError(f"{name}: got {getattr(self, name)!r}, has to be a number")
        if self.seed < 0 or self.seed != int(self.seed):
            raise ValueError(f"seed: got {self.seed}, has to be a whole number of at least 0")
        for name in ("flip_probability", "grayscale_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, has to be from 0 to 1")
        if not 0 <= self.degrees <= 180:
            raise ValueError(f"degrees: got {self.degrees}, has to be from 0 to 180")
        if not 0 <= self.shear < 90:
            raise ValueError(f"shear: got {self.shear}, has to be from 0 to below 90 degrees")

    def __call__(self, row: dict, epoch: int = 0) -> dict:
        """The row with other `frames` and `masks`. The draw depends on `seed`, `epoch` and the row's `id` only.

        Raises:
            ValueError: for a row without an `id`.
        """
        rng = np.random.default_rng([self.seed, epoch, column(row, "id", "ClipAugmentation")])
        frames = [frame.convert("RGB") for frame in row["frames"]]
        masks = [mask_colors(mask) if row.get("has_classes") else mask_levels(mask) for mask in row["masks"]]
        flipped, gray = rng.random(2) < (self.flip_probability, self.grayscale_probability)
        angle, shear = rng.uniform(-1, 1, 2) * (self.degrees, self.shear)
        if flipped:
            frames, masks = ([F.horizontal_flip(image) for image in images] for images in (frames, masks))
        if angle or shear:
            frames = [_affine(frame, angle, shear, InterpolationMode.BILINEAR, FILL) for frame in frames]
            masks = [_affine(mask, angle, shear, InterpolationMode.NEAREST, 0) for mask in masks]
        if self.color_jitter:
            adjust = _draw_jitter(rng, CLIP_JITTER)
            frames = [adjust(frame) for frame in frames]
        if gray:
            frames = [F.rgb_to_grayscale(frame, num_output_channels=3) for frame in frames]
        if self.color_jitter:
            frames = [_draw_jitter(rng, FRAME_JITTER)(frame) for frame in frames]
        return {**row, "frames": frames, "masks": masks}


def _affine(
    image: Image.Image, angle: float, shear: float, interpolation: InterpolationMode, fill: float | tuple[float, ...]
) -> Image.Image:
    return F.affine(
        image, angle, translate=[0, 0], scale=1.0, shear=[shear, 0.0], interpolation=interpolation, fill=fill
    )


def _draw_jitter(rng: np.random.Generator, strengths: tuple[float, ...]) -> Callable[[Image.Image], Image.Image]:
    """Brightness, contrast and saturation in random order, each times 1 plus or minus up to its strength."""
    factors = 1 + rng.uniform(-1, 1, len(strengths)) * strengths
    order = rng.permutation(len(strengths))

    def adjust(image: Image.Image) -> Image.Image:
        for index in order:
            image = _ADJUSTMENTS[index](image, factors[index])
        return image

    return adjust
