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


def make_clip(frames=3, seconds=3.2, size=(48, 80), seed=0):
    rng = np.random.default_rng(seed)
    video = rng.integers(0, 256, (frames, *size, 3), np.uint8)
    return video, rng.uniform(-0.5, 0.5, int(RATE * seconds)).astype(np.float32)


def test_frames_become_squares_without_padding(processor):
    video, sound = make_clip()
    video[:] = (255, 0, 128)
    inputs = processor(video, sound, sampling_rate=RATE)
    assert inputs["pixel_values"].shape == (1, 3, 3, 128, 128)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    colour = (torch.tensor([255, 0, 128]) / 255 - mean) / std
    expected = colour[:, None, None].expand(3, 128, 128)
    torch.testing.assert_close(inputs["pixel_values"][0, 0], expected, atol=1e-5, rtol=0)
    assert inputs["original_sizes"] == [(48, 80)]


@pytest.mark.parametrize(("frames", "seconds"), [(3, 3.2), (5, 3.6), (2, 3.4), (1, 0.3)])
def test_every_frame_has_one_patch_of_sound(processor, frames, seconds):
    video, sound = make_clip(frames, seconds)
    inputs = processor(video, sound, sampling_rate=RATE)
    patches = processor.feature_extractor(sound, sampling_rate=RATE, return_tensors="pt")["input_features"]
    assert inputs["input_features"].shape == (1, frames, 1, 96, 64)
    for frame in range(frames):
        assert torch.equal(inputs["input_features"][0, frame], patches[min(frame, len(patches) - 1)])
    assert torch.equal(inputs["audio_mask"], inputs["frame_mask"])


def test_clips_of_different_length_keep_their_own_sound(processor):
    clips = [make_clip(4, 4.1), make_clip(2, 1.5, seed=1)]
    videos, sounds = zip(*clips, strict=True)
    batch = processor(list(videos), list(sounds), sampling_rate=RATE)
    assert batch["frame_mask"].tolist() == [[True] * 4, [True, True, False, False]]
    for index, (video, sound) in enumerate(clips):
        alone = processor(video, sound, sampling_rate=RATE)
        for name in ("pixel_values", "input_features"):
            assert torch.equal(batch[name][index, : len(video)], alone[name][0])


def test_masks_come_back_by_way_of_sams_size(processor):
    logits = torch.randn(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    frame_mask = torch.tensor([[True, True, True], [True, False, False]])
    masks = processor.post_process_masks(logits, [(48, 80), (100, 60)], frame_mask)
    assert [mask.shape for mask in masks] == [(3, 48, 80), (1, 100, 60)]
    at_input = F.interpolate(logits[0], (128, 128), mode="bilinear")
    assert torch.equal(masks[0], F.interpolate(at_input, (48, 80), mode="bilinear")[0] > 0)
    directly = F.interpolate(logits[0], (48, 80), mode="bilinear")[0] > 0
    assert not torch.equal(masks[0], directly)
