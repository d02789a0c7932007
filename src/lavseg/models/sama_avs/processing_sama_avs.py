"""Processor of SAMA-AVS."""

from ...backbones.adapted_sam.processing_adapted_sam import AdapterClipProcessor


class SamaAvsProcessor(AdapterClipProcessor):
    """Prepares clips for [`SamaAvsModel`]."""
