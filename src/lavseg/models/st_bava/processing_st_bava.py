"""Processor of ST-BAVA."""

from ...backbones.sam.processing_sam import SamClipProcessor


class StBavaProcessor(SamClipProcessor):
    """Prepares clips for [`StBavaModel`].

    ```python
    processor = StBavaProcessor.from_config(StBavaConfig())
    inputs = processor("clip.mp4")
    ```
    """


__all__ = ["StBavaProcessor"]
