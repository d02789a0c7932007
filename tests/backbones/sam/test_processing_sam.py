import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny.configurations import tiny_config

from lavseg.backbones.sam.processing_sam import SamClipProcessor
from lavseg.models.st_bava import StBavaConfig

RATE = 16000


@pytest.fixture(scope="module")
def processor():
    return SamClipProcessor.from_config(tiny_config(StBavaConfig))


def test_frames_become_squares_without_padding(processor):
    video = np.full((3, 48, 80, 3), (255, 0, 128), np.uint8)
    inputs = processor(video, np.zeros(3 * RATE, np.float32), sampling_rate=RATE)
    assert inputs["pixel_values"].shape == (1, 3, 3, 128, 128)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    colour = (torch.tensor([255, 0, 128]) / 255 - mean) / std
    expected = colour[:, None, None].expand(3, 128, 128)
    torch.testing.assert_close(inputs["pixel_values"][0, 0], expected, atol=1e-5, rtol=0)
    assert inputs["original_sizes"] == [(48, 80)]


def test_masks_come_back_by_way_of_sams_size(processor):
    logits = torch.randn(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    frame_mask = torch.tensor([[True, True, True], [True, False, False]])
    masks = processor.post_process_masks(logits, [(48, 80), (100, 60)], frame_mask)
    assert [mask.shape for mask in masks] == [(3, 48, 80), (1, 100, 60)]
    at_input = F.interpolate(logits[0], (128, 128), mode="bilinear")
    assert torch.equal(masks[0], F.interpolate(at_input, (48, 80), mode="bilinear")[0] > 0)
    directly = F.interpolate(logits[0], (48, 80), mode="bilinear")[0] > 0
    assert not torch.equal(masks[0], directly)
