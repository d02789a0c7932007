"""Processor of SAMA-AVS."""

from ..adapter_processing import AdapterClipProcessor


class SamaAvsProcessor(AdapterClipProcessor):
    """Prepares clips for [`SamaAvsModel`]."""
