import numpy as np
import torch
from PIL import Image

from lavseg.backbones.mask2former.processing_mask2former import resize_by_pil


def test_frames_are_resized_by_pil():
    frame = np.random.default_rng(0).integers(0, 256, (45, 80, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(frame).resize((64, 64), Image.Resampling.BILINEAR))
    (found,) = resize_by_pil([torch.from_numpy(frame).permute(2, 0, 1)], (64, 64))
    assert found.dtype == torch.uint8 and np.array_equal(found.permute(1, 2, 0).numpy(), expected)
