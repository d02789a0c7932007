"""Masks of any PNG mode as arrays of 0 and 1."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

MASK_RESIZES = ("nearest", "bilinear_gt0")
# Pillow's names of formats that change pixels.
LOSSY = ("JPEG", "MPO", "JPEG2000")
# Modes with colours, and how OpenCV weighs red, green and blue, in units of 1/16384.
_COLORED = ("P", "RGB", "RGBA")
_GRAY = np.array([4899, 9617, 1868])


def row_masks(row: dict, size: tuple[int, int] | None = None, mask_resize: str = "nearest") -> np.ndarray:
    """Masks of one row of `load_ref_avs` or `load_avsbench`, uint8 0/1 `[L, h, w]`, of its first `L` frames.

    `L` is the number of frames, or less where not all carry a label. Null rows are blank. `size` is height and width;
    None takes the size of the frames.
    """
    width, height = row["frames"][0].size
    size = size or (height, width)
    if row["is_null"]:
        return np.zeros((len(row["frames"]), *size), np.uint8)
    check_masks(row)
    return binary_masks(row["masks"], size, mask_resize)


def check_masks(row: dict) -> None:
    """Compare the masks of a row with its frames.

    Raises:
        ValueError: when there are none or more than frames, one has another shape than its frame, or is JPEG.
    """
    frames, masks = row["frames"], row["masks"]
    if not 0 < len(masks) <= len(frames):
        raise ValueError(f"masks: clip {row['clip']} has {len(masks)}, expected 1 to {len(frames)} as it has frames")
    for index, (frame, mask) in enumerate(zip(frames, masks, strict=False)):
        if not same_shape(frame.size, mask.size):
            raise ValueError(
                f"masks: that of frame {index} of clip {row['clip']} has width and height {mask.size}, another shape "
                f"than the frame's, {frame.size}"
            )
        if mask.format in LOSSY:
            raise ValueError(
                f"masks: those of clip {row['clip']} are {mask.format}, which blurs edges; save them as PNG"
            )


def same_shape(frame: tuple[int, int], mask: tuple[int, int]) -> bool:
    """Whether a mask is a smaller or larger copy of a frame by width and height, up to a pixel or two percent."""
    if mask == frame[::-1]:
        return mask == frame
    ratio, (width, height) = frame[0] / frame[1], mask
    return abs(width - ratio * height) <= max(1, ratio, 0.02 * width)


def mask_levels(image: Image.Image) -> Image.Image:
    """A mask of any PNG mode in gray, where background is zero.

    Colours decide. Where they say nothing other things do: indices above 0 of a palette without colours, what is not
    transparent, and any number of more than 8 bits but zero.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(np.where(np.asarray(image) != 0, 255, 0).astype(np.uint8))
    levels = np.array(image.convert("L"))
    if image.mode == "P":
        indices = np.asarray(image)
        if _lacks_colors(image, levels):
            levels[(indices != 0) & (levels == 0)] = 255
            levels[indices == 0] = 0
    opaque = _opaque(image, levels)
    if opaque is not None:
        if opaque.any() and np.ptp(levels[opaque]) == 0:
            levels[opaque] = 255
        levels[~opaque] = 0
    return Image.fromarray(levels)


def _lacks_colors(image: Image.Image, levels: np.ndarray) -> bool:
    """Whether indices of a palette say more than its colours do: index 0 is black, or all that are used look alike."""
    first = image.getpalette()[:3] if image.palette else None
    return first in (None, [], [0, 0, 0]) or (np.ptp(levels) == 0 and np.ptp(np.asarray(image)) > 0)


def _opaque(image: Image.Image, levels: np.ndarray) -> np.ndarray | None:
    """Which pixels can be seen, bool `[H, W]`; None where all can, or none of them and their hidden `levels` differ."""
    if not image.has_transparency_data:
        return None
    opaque = np.asarray(image.convert("RGBA").getchannel("A")) > 0
    hidden_differ = not opaque.any() and np.ptp(levels) > 0
    return None if opaque.all() or hidden_differ else opaque


def mask_colors(image: Image.Image) -> Image.Image:
    """A mask whose colours say classes, in RGB, where background is black.

    Raises:
        ValueError: when objects have no colours.
    """
    colors, levels = np.array(image.convert("RGB")), np.asarray(mask_levels(image))
    colors[levels == 0] = 0
    colored = colors.any(-1) if image.mode.startswith("RGB") else np.ptp(colors, axis=-1) > 0
    if np.any((levels > 0) & ~colored):
        raise ValueError(f"masks: one of mode {image.mode!r} has objects without a colour, which would say the class")
    return Image.fromarray(colors)


def _colors_of_levels(image: Image.Image) -> Image.Image:
    """A mask in RGB, black where its gray is, and gray where it has no colour."""
    levels = mask_levels(image)
    colors, gray = np.array(image.convert("RGB")), np.asarray(levels)
    if image.mode not in _COLORED:
        return levels.convert("RGB")
    colors[gray == 0] = 0
    return Image.fromarray(np.where(colors.any(-1, keepdims=True), colors, gray[..., None]))


def binary_masks(images: Sequence[Image.Image], size: tuple[int, int], mask_resize: str = "nearest") -> np.ndarray:
    """Masks of any PNG mode as uint8 0/1 `[T, h, w]`: foreground is what is not black once turned to gray, see
    `mask_levels`.

    Args:
        size: height and width.
        mask_resize: `nearest`, or `bilinear_gt0`, which interpolates the colours as OpenCV does and keeps what is above
            zero in gray. The latter enlarges the objects a little; the official Ref-AVS code evaluates so at 256x256.
    """
    if mask_resize not in MASK_RESIZES:
        raise ValueError(f"mask_resize: got {mask_resize!r}, expected one of {', '.join(MASK_RESIZES)}.")
    if mask_resize == "nearest":
        levels = stack_images(images, mask_levels, size)
    elif any(image.mode in _COLORED for image in images):
        colors = np.moveaxis(stack_images(images, _colors_of_levels), -1, 0)
        # As OpenCV turns what is resized to gray: a faint edge of a dark colour is lost.
        levels = (np.tensordot(_GRAY, [_resize_bilinear(each, *size) for each in colors], 1) + (1 << 13)) >> 14
    else:
        levels = _resize_bilinear(stack_images(images, mask_levels), *size)
    return (levels > 0).astype(np.uint8)


def stack_images(
    images: Sequence[Image.Image], convert: Callable[[Image.Image], Image.Image], size: tuple[int, int] | None = None
) -> np.ndarray:
    """Images in one mode as one array `[T, h, w, ...]`, of their own size or brought to `size` (height, width) without
    interpolation.

    Args:
        convert: `mask_levels` or `mask_colors`.

    Raises:
        ValueError: when there are none, or they differ in size and none is wanted.
    """
    if not images:
        raise ValueError("images: got none, expected one mask image per frame.")
    if not all(isinstance(image, Image.Image) for image in images):
        raise ValueError(f"images: got {type(images[0]).__name__}, expected PIL images.")
    if size is not None and (len(size) != 2 or not all(isinstance(edge, int) and edge > 0 for edge in size)):
        raise ValueError(f"size: got {size}, expected height and width.")
    images = [convert(image) for image in images]
    if size is not None:
        images = [image.resize(size[::-1], Image.Resampling.NEAREST) for image in images]
    if len({image.size for image in images}) > 1:
        raise ValueError(f"images: have different sizes {sorted({image.size for image in images})}, expected one.")
    return np.stack([np.asarray(image) for image in images])


def _resize_bilinear(levels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear without antialiasing in 11-bit fixed point, as OpenCV resizes 8-bit images `[T, H, W]`."""
    upper, lower, upper_weight, lower_weight = _taps(levels.shape[1], height)
    left, right, left_weight, right_weight = _taps(levels.shape[2], width)
    levels = levels.astype(np.int32)
    rows = (levels[..., left] * left_weight + levels[..., right] * right_weight) >> 4
    above = (rows[:, upper] * upper_weight[:, None]) >> 16
    below = (rows[:, lower] * lower_weight[:, None]) >> 16
    return (above + below + 2) >> 2


def _taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The two neighbours of every target position and their weights in units of 1/2048."""
    position = ((np.arange(target) + 0.5) * (source / target) - 0.5).astype(np.float32).clip(0, source - 1)
    first = position.astype(np.int32)
    weight = np.rint((position - first) * 2048).astype(np.int32)
    return first, np.minimum(first + 1, source - 1), 2048 - weight, weight
