"""Pictures of results: masks and attention over frames, sheets of them, legends, and the sound."""

from .attention_maps import attention_sheet, heatmap
from .legends import legend
from .mask_pictures import OKABE_ITO, overlay, palette, save_mask
from .mask_videos import MaskVideo
from .sheets import contact_sheet, mask_sheet, side_by_side
from .sound_strips import peaks

__all__ = [
    "OKABE_ITO",
    "MaskVideo",
    "attention_sheet",
    "contact_sheet",
    "heatmap",
    "legend",
    "mask_sheet",
    "overlay",
    "palette",
    "peaks",
    "save_mask",
    "side_by_side",
]
