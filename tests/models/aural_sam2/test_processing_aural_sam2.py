import numpy as np
import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Processor


@pytest.fixture(scope="module", params=["text", "no text"])
def processor(request, tokenizer):
    reads = request.param == "text"
    config = tiny_config(AuralSam2Config, len(tokenizer), use_text=reads)
    return AuralSam2Processor.from_config(config, tokenizer if reads else None)


def clip(frames=4, seconds=4.0):
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (frames, 60, 80, 3), dtype=np.uint8)
    return {"video": video, "audio": 0.1 * rng.standard_normal((2, int(16000 * seconds))), "sampling_rate": 16000}


def test_a_clip_becomes_frames_and_at_least_five_stereo_patches(processor):
    text = {"text": ["the dog", "the cat"]} if processor.needs_text else {}
    inputs = processor(**clip(), **text)
    assert inputs["pixel_values"].shape == (1, 4, 3, 128, 128)
    assert inputs["input_features"].shape == (1, 5, 2, 96, 64)
    assert torch.equal(inputs["input_features"][:, 3], inputs["input_features"][:, 4])
    assert not torch.equal(inputs["input_features"][:, 0, 0], inputs["input_features"][:, 0, 1])
    assert ("input_ids" in inputs) == processor.needs_text
    if processor.needs_text:
        assert inputs["input_ids"].shape == (1, 2, 25)


def test_points_and_boxes_are_scaled_to_the_models_pixels(processor):
    text = {"text": "the dog"} if processor.needs_text else {}
    prompts = {"input_points": [[[[40, 30], [8, 6]]]], "input_labels": [[[1, 0]]], "input_boxes": [[[0, 15, 80, 60]]]}
    inputs = processor(**clip(), **text, **prompts)
    torch.testing.assert_close(inputs["input_points"], torch.tensor([[[[64.0, 64.0], [12.8, 12.8]]]]))
    torch.testing.assert_close(inputs["input_boxes"], torch.tensor([[[0.0, 32.0, 128.0, 128.0]]]))
    assert inputs["input_labels"].tolist() == [[[1, 0]]]
    arrays = processor(**clip(), **text, **prompts, return_tensors="np")
    assert all(np.array_equal(arrays[name], inputs[name].numpy()) for name in prompts)
    with pytest.raises(ValueError, match="input_points: has to have 4 axes"):
        processor(**clip(), **text, input_points=[[40, 30]])
    for name in ("input_points", "input_boxes"):
        damaged = torch.tensor(prompts[name], dtype=torch.float32)
        damaged[..., -1] = float("nan")
        with pytest.raises(ValueError, match=f"{name}: holds NaN or infinite values"):
            processor(**clip(), **text, **{name: damaged})


def test_tokenizer_and_configuration_have_to_agree(tokenizer):
    with pytest.raises(ValueError, match="tokenizer: missing"):
        AuralSam2Processor.from_config(tiny_config(AuralSam2Config))
    with pytest.raises(ValueError, match="reads no text"):
        AuralSam2Processor.from_config(tiny_config(AuralSam2Config, use_text=False), tokenizer)
