"""Deformable attention as Transformers computes it, which keeps all samples, in the place of this package's."""

from collections.abc import Iterator
from contextlib import contextmanager

from transformers.models.deformable_detr.modeling_deformable_detr import MultiScaleDeformableAttention
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention,
)

from lavseg.backbones.deformable_sampling import DeformableAttention, SummedSampling

_LIBRARY = {
    SummedSampling: MultiScaleDeformableAttention.forward,
    DeformableAttention: Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention.forward,
}


@contextmanager
def library_sampling() -> Iterator[None]:
    """Inside, all models sample as in Transformers."""
    ours = {kind: kind.forward for kind in _LIBRARY}
    for kind, forward in _LIBRARY.items():
        kind.forward = forward
    try:
        yield
    finally:
        for kind, forward in ours.items():
            kind.forward = forward
