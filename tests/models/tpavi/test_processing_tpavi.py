import numpy as np
import pytest
from tiny.configurations import tiny_config

from lavseg.models.tpavi import TpaviConfig, TpaviProcessor


def test_frames_are_squares_with_a_sound_each():
    processor = TpaviProcessor.from_config(tiny_config(TpaviConfig, frame_size=64))
    video = np.zeros((3, 40, 60, 3), np.uint8)
    inputs = processor(video, np.zeros(3 * 16000, np.float32), sampling_rate=16000)
    assert inputs["pixel_values"].shape == (1, 3, 3, 64, 64) and inputs["input_features"].shape == (1, 3, 1, 96, 64)


def test_a_tokenizer_is_needed_to_read(tokenizer):
    config = tiny_config(TpaviConfig, len(tokenizer), use_text=True)
    assert TpaviProcessor.from_config(config, tokenizer).needs_text
    with pytest.raises(ValueError, match=r"^tokenizer: missing"):
        TpaviProcessor.from_config(config)
