"""Processor of SAMA-AVS."""

from ...backbones.adapted_sam.processing_adapted_sam import AdapterClipProcessor


class SamaAvsProcessor(AdapterClipProcessor):
    """Prepares clips for [`SamaAvsModel`].

    ```python
    processor = SamaAvsProcessor.from_config(SamaAvsConfig())
    inputs = processor("clip.mp4")
    ```
    """


__all__ = ["SamaAvsProcessor"]
