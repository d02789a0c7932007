import numpy as np
import torch
from PIL import Image
from tiny.configurations import tiny_config

from lavseg.models.st_bava import StBavaConfig, StBavaProcessor


def test_the_default_is_sams_input_of_1024():
    size = StBavaProcessor.from_config(StBavaConfig()).image_processor.size
    assert (size["height"], size["width"]) == (1024, 1024)


def test_frames_are_resized_as_in_the_release_up_to_a_grey_level():
    video = np.random.default_rng(0).integers(0, 256, (1, 48, 80, 3), np.uint8)
    processor = StBavaProcessor.from_config(tiny_config(StBavaConfig))
    found = processor(video, np.zeros(16000), sampling_rate=16000)["pixel_values"][0, 0]
    resized = np.asarray(Image.fromarray(video[0]).resize((128, 128), Image.BILINEAR)) / 255
    expected = (resized - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    difference = (found - torch.from_numpy(expected).permute(2, 0, 1)).abs().max()
    assert difference < 1.01 / 255 / 0.224
