"""Readers for data sets, a synthetic data set, and the collator that batches them."""

from .collator import ClipCollator
from .ref_avs import DataError, binary_masks, load_ref_avs, row_masks
from .synthetic import row_kinds, write_ref_avs
from .synthetic_scene import COLORS, SEEN, UNSEEN, SceneObject, SyntheticClip, draw_objects, render_clip
from .synthetic_sentences import Expression, build_tokenizer, draw_expressions

__all__ = [
    "COLORS",
    "SEEN",
    "UNSEEN",
    "ClipCollator",
    "DataError",
    "Expression",
    "SceneObject",
    "SyntheticClip",
    "binary_masks",
    "build_tokenizer",
    "draw_expressions",
    "draw_objects",
    "load_ref_avs",
    "render_clip",
    "row_kinds",
    "row_masks",
    "write_ref_avs",
]
