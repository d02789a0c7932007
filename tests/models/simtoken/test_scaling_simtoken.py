import pytest
import torch
import torch.nn.functional as F
from transformers import SamImageProcessorPil

from lavseg.models.simtoken.scaling_simtoken import scale_without_padding, size_without_padding, sizes_of_clips


def test_the_padding_is_where_the_processor_puts_it():
    for size in ((48, 64), (33, 77), (90, 50), (64, 64), (719, 1281)):
        square = {"height": 128, "width": 128}
        processor = SamImageProcessorPil(size={"longest_edge": 128}, pad_size=square, do_normalize=False)
        pixels = processor(torch.full((3, *size), 255, dtype=torch.uint8), return_tensors="pt")["pixel_values"][0, 0]
        height, width = size_without_padding(size, 128)
        assert (pixels[:height, :width] > 0).all() and pixels.count_nonzero() == height * width, size


def test_masks_of_padding_are_cut_off():
    masks = torch.zeros(2, 1, 32, 32)
    masks[..., :24, :] = 1  # a frame of 3 to 4
    scaled = scale_without_padding(masks, (48, 64), (480, 640))
    assert scaled.shape == (2, 1, 480, 640) and (scaled[..., :450, :] > 0.99).all()
    whole = F.interpolate(masks, (640, 640), mode="bilinear")[..., :480, :]
    torch.testing.assert_close(scaled[..., :450, :], whole[..., :450, :], atol=0.01, rtol=0)


def test_frames_are_as_large_as_their_labels_unless_told_otherwise():
    labels = torch.zeros(2, 1, 3, 60, 80)
    assert sizes_of_clips(None, labels) == [(60, 80)] * 2
    assert sizes_of_clips([(30, 40), (50, 20)], labels) == [(30, 40), (50, 20)]
    with pytest.raises(ValueError, match=r"^original_sizes: has to hold \(height, width\) of each of 2 clips, got 3"):
        sizes_of_clips([(30, 40)] * 3, labels)
