"""Processor of SAMA-AVS."""

from ..sam_processing import SamClipProcessor


class SamaAvsProcessor(SamClipProcessor):
    """Prepares clips for [`SamaAvsModel`]."""
