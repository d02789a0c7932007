"""Readers for data sets, synthetic data sets, augmentation, and the collator that batches them."""

from .augmentation import ClipAugmentation
from .avsbench import load_avsbench
from .classes import CLASSES, PALETTE, class_masks, row_classes
from .collator import ClipCollator
from .exported import load_exported
from .masks import binary_masks, row_masks
from .ref_avs import load_ref_avs
from .synthetic import row_kinds, row_novelties, write_avsbench, write_ref_avs
from .synthetic.cast import BAND, SEEN, UNSEEN
from .synthetic.rendering import render_clip
from .synthetic.scene import SceneObject, SyntheticClip, draw_objects
from .synthetic.sentences import Expression, build_tokenizer, draw_expressions, draw_scene
from .tables import DataError

__all__ = [
    "BAND",
    "CLASSES",
    "PALETTE",
    "SEEN",
    "UNSEEN",
    "ClipAugmentation",
    "ClipCollator",
    "DataError",
    "Expression",
    "SceneObject",
    "SyntheticClip",
    "binary_masks",
    "build_tokenizer",
    "class_masks",
    "draw_expressions",
    "draw_objects",
    "draw_scene",
    "load_avsbench",
    "load_exported",
    "load_ref_avs",
    "render_clip",
    "row_classes",
    "row_kinds",
    "row_masks",
    "row_novelties",
    "write_avsbench",
    "write_ref_avs",
]
