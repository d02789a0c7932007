"""Processor of ST-BAVA."""

from ..sam_processing import SamClipProcessor


class StBavaProcessor(SamClipProcessor):
    """Prepares clips for [`StBavaModel`]."""
