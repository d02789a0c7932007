"""How frames become SAM2's input."""

from transformers import Sam2ImageProcessor
from transformers.image_utils import PILImageResampling


def square_image_processor(size: int, resample: PILImageResampling = PILImageResampling.BILINEAR) -> Sam2ImageProcessor:
    """Frames resized to `size x size` without padding, normalised with ImageNet's statistics."""
    square, quarter = ({"height": edge, "width": edge} for edge in (size, size // 4))
    return Sam2ImageProcessor(size=square, mask_size=quarter, resample=resample)


__all__ = ["square_image_processor"]
