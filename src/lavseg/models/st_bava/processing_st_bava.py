"""Processor of ST-BAVA."""

from ...backbones.sam.processing_sam import SamClipProcessor


class StBavaProcessor(SamClipProcessor):
    """Prepares clips for [`StBavaModel`]."""
