import numpy as np
import pytest
import torch
from PIL import Image

from lavseg.media import as_frames

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), dtype=np.uint8)


@pytest.mark.parametrize("convert", [torch.from_numpy, list, lambda frames: [Image.fromarray(f) for f in frames]])
def test_every_form_of_a_clip_becomes_the_same_tensor(convert):
    found = as_frames(convert(FRAMES), "video")
    assert found.dtype == torch.uint8 and torch.equal(found, torch.from_numpy(FRAMES).permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ([], "clip: the clip has no frames"),
        (FRAMES[0], r"clip: has to be \[T, H, W, 3\]"),
        (FRAMES / 255, "clip: has to hold uint8"),
        ([FRAMES[0], FRAMES[1, :2]], "clip: the frames of a clip have one size"),
        ([Image.new("L", (6, 4)), Image.new("I;16", (6, 4))], "clip: the image at index 1 has mode I;16, of more than"),
        ([Image.new("I", (6, 4))], r"index 0 has mode I, .*; scale it to 8 bits, 0\.\.255"),
        ([Image.new("F", (6, 4))], "index 0 has mode F"),
    ],
)
def test_what_is_no_clip_is_named(clip, message):
    with pytest.raises(ValueError, match=message):
        as_frames(clip, "clip")
