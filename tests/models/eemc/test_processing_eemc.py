import pytest
import torch
import torch.nn.functional as F
from tiny.configurations import tiny_config

from lavseg.models.eemc import EemcConfig, EemcProcessor


def test_sizes_fit_the_model_and_masks_come_back_by_way_of_its_frames(tokenizer):
    processor = EemcProcessor.from_config(tiny_config(EemcConfig, len(tokenizer)), tokenizer)
    frames, sound = torch.zeros(2, 90, 120, 3, dtype=torch.uint8).numpy(), torch.zeros(32000).numpy()
    inputs = processor(frames, sound, "the dog", sampling_rate=16000)
    assert inputs["pixel_values"].shape == (1, 2, 3, 128, 128) and inputs["input_ids"].shape == (1, 1, 25)
    masks = torch.randn(1, 1, 2, 32, 32)
    found = processor.post_process_masks(masks, inputs["original_sizes"], binarize=False)[0]
    expected = F.interpolate(F.interpolate(masks[0], (128, 128), mode="bilinear"), (90, 120), mode="bilinear")[0]
    torch.testing.assert_close(found, expected)


def test_the_sound_of_a_clip_is_heard_as_a_whole(tokenizer):
    processor = EemcProcessor.from_config(tiny_config(EemcConfig, len(tokenizer)), tokenizer)
    with pytest.raises(ValueError, match=r"^fps: EemcProcessor cannot give each frame a sound of its own"):
        processor.frames_with_sounds([], [], ["the dog"], 16000)


@pytest.mark.parametrize("option", [{"size": {"height": 64, "width": 64}}, {"resample": 3}, {"do_resize": False}])
def test_what_pil_does_already_is_not_asked_of_the_image_processor(tokenizer, option):
    processor = EemcProcessor.from_config(tiny_config(EemcConfig, len(tokenizer)), tokenizer)
    frames, sound = torch.zeros(1, 90, 120, 3, dtype=torch.uint8).numpy(), torch.zeros(16000).numpy()
    with pytest.raises(ValueError, match=rf"^{next(iter(option))}: EemcProcessor resizes to the model's frames"):
        processor(frames, sound, "the dog", sampling_rate=16000, **option)
