import numpy as np
import pytest
import torch
from PIL import Image
from tiny.configurations import nano_sam2_config, tiny_config

from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsProcessor

RATE = 16000


def make_clip(frames=3, seconds=3.0):
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (frames, 48, 80, 3), np.uint8)
    return video, rng.uniform(-0.5, 0.5, int(RATE * seconds)).astype(np.float32)


@pytest.mark.parametrize(("sam2", "filter"), [(False, Image.BILINEAR), (True, Image.BICUBIC)])
def test_frames_become_squares_bilinear_for_sam_and_bicubic_for_sam2(sam2, filter):
    fields = {"sam_config": nano_sam2_config(128)} if sam2 else {}
    processor = SamaAvsProcessor.from_config(tiny_config(SamaAvsConfig, **fields))
    video, sound = make_clip()
    found = processor(video, sound, sampling_rate=RATE)["pixel_values"]
    assert found.shape == (1, 3, 3, 128, 128)
    resized = np.asarray(Image.fromarray(video[0]).resize((128, 128), filter)) / 255
    expected = torch.from_numpy((resized - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).permute(2, 0, 1)
    assert (found[0, 0] - expected).abs().mean() < 1 / 255 / 0.224


@pytest.mark.parametrize("seconds", [1.6, 3.0, 4.4])
def test_every_frame_has_one_patch_of_sound(seconds):
    processor = SamaAvsProcessor.from_config(tiny_config(SamaAvsConfig))
    inputs = processor(*make_clip(seconds=seconds), sampling_rate=RATE)
    assert inputs["input_features"].shape == (1, 3, 1, 96, 64)


def test_the_default_is_sams_input_of_1024():
    size = SamaAvsProcessor.from_config(SamaAvsConfig()).image_processor.size
    assert (size["height"], size["width"]) == (1024, 1024)
