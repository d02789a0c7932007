import numpy as np
import pytest
from tiny.configurations import tiny_config

from lavseg.models.avsegformer import AvsegFormerConfig, AvsegFormerProcessor


@pytest.mark.parametrize("edge", [64, 224])
def test_frames_become_squares_of_the_models_size_each_with_a_patch_of_sound(edge):
    processor = AvsegFormerProcessor.from_config(tiny_config(AvsegFormerConfig, frame_size=edge))
    rng = np.random.default_rng(0)
    video, sound = rng.integers(0, 256, (3, 48, 80, 3), np.uint8), rng.uniform(-0.5, 0.5, 35200).astype(np.float32)
    inputs = processor(video, sound, sampling_rate=16000)
    assert inputs["pixel_values"].shape == (1, 3, 3, edge, edge)
    assert inputs["input_features"].shape == (1, 3, 1, 96, 64)
