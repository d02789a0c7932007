"""Synthetic data sets in the layouts of Ref-AVS and AVSBench."""

from .synthetic_avsbench import write_avsbench
from .synthetic_ref_avs import row_kinds, row_novelties, write_ref_avs

__all__ = ["row_kinds", "row_novelties", "write_avsbench", "write_ref_avs"]
