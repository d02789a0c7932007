import numpy as np
import pytest
import torch
from PIL import Image
from tiny.configurations import tiny_config

from lavseg.modeling.outputs import NO_MASK_LOGIT
from lavseg.models.referformer import ReferFormerConfig, ReferFormerOutput, ReferFormerProcessor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def processor(tokenizer):
    return ReferFormerProcessor.from_config(tiny_config(ReferFormerConfig, len(tokenizer)), tokenizer)


def clip(height, width, frames=2):
    return np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def by_hand(frame, size):
    image = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR), np.float32) / 255
    return torch.from_numpy((image - np.float32(MEAN)) / np.float32(STD)).permute(2, 0, 1)


@pytest.mark.parametrize(("shape", "size"), [((90, 160), (113, 64)), ((160, 90), (64, 113)), ((50, 50), (64, 64))])
def test_the_short_edge_is_brought_to_one_length_by_pil(processor, shape, size):
    frames = clip(*shape)
    values = processor(frames, text="the dog")["pixel_values"]
    assert values.shape == (1, 2, 3, *size[::-1])
    for found, frame in zip(values[0], frames, strict=True):
        torch.testing.assert_close(found, by_hand(frame, size), atol=1e-6, rtol=0)


@pytest.mark.parametrize("option", [{"size": {"height": 64, "width": 64}}, {"resample": 3}, {"do_resize": False}])
def test_what_pil_does_already_is_not_asked_of_the_image_processor(processor, option):
    with pytest.raises(ValueError, match=rf"^{next(iter(option))}: ReferFormerProcessor resizes to the model's frames"):
        processor(clip(90, 160), text="the dog", **option)


def test_clips_of_several_shapes_get_padding(processor):
    wide, tall = clip(90, 160), clip(160, 90)
    inputs = processor([wide, tall], text=["the dog", "the cat"])
    assert inputs["pixel_values"].shape == (2, 2, 3, 128, 128) and inputs["pixel_mask"].dtype == torch.bool
    assert inputs["pixel_mask"].sum((1, 2)).tolist() == [64 * 113] * 2
    assert torch.equal(inputs["pixel_values"][0, :, :, :64, :113], processor(wide, text="the dog")["pixel_values"][0])
    assert not inputs["pixel_values"][0, :, :, 64:].any()
    assert "pixel_mask" not in processor([wide, wide], text=["the dog", "the cat"])


def test_sentences_are_padded_to_the_longest(processor):
    inputs = processor(clip(64, 64), text=["the dog", "the dog that barks at the cat"])
    mask = inputs["attention_mask"][0]
    assert mask.all(1).any() and not mask.all()
    assert processor.max_text_length == 62
    config = tiny_config(ReferFormerConfig)
    assert ReferFormerProcessor.from_config(config, processor.tokenizer, 9).max_text_length == 9


def test_masks_are_emptied_below_a_probability_if_asked_for(processor):
    outputs = ReferFormerOutput(pred_masks=torch.ones(1, 2, 1, 4, 4), presence_logits=torch.tensor([[2.0, -2.0]]))
    assert processor.gate_masks(outputs) is outputs.pred_masks
    strict = ReferFormerProcessor(processor.image_processor, processor.tokenizer, empty_below=0.3)
    assert strict.gate_masks(outputs)[0, :, 0, 0, 0].tolist() == [1, NO_MASK_LOGIT]
    assert strict.post_process_masks(outputs, [(8, 8)])[0].flatten(1).any(1).tolist() == [True, False]
    for wrong in (2, "0.5", None):
        with pytest.raises(ValueError, match=rf"^empty_below: a probability from 0 to 1 is needed, got {wrong!r}"):
            ReferFormerProcessor(processor.image_processor, processor.tokenizer, empty_below=wrong)


def test_with_the_classifier_masks_of_absent_objects_are_emptied_unless_asked_otherwise(tokenizer, tmp_path):
    config = tiny_config(ReferFormerConfig, len(tokenizer), absence_classifier=True)
    ReferFormerProcessor.from_config(config, tokenizer).save_pretrained(tmp_path)
    outputs = ReferFormerOutput(pred_masks=torch.ones(1, 2, 1, 4, 4), presence_logits=torch.tensor([[0.1, -0.1]]))
    gating = ReferFormerProcessor.from_pretrained(tmp_path)
    assert gating.empty_below == 0.5
    assert gating.gate_masks(outputs)[0, :, 0, 0, 0].tolist() == [1, NO_MASK_LOGIT]
    never = ReferFormerProcessor.from_config(config, tokenizer, empty_below=0.0)
    assert never.gate_masks(outputs) is outputs.pred_masks


def test_settings_are_saved(processor, tmp_path):
    strict = ReferFormerProcessor(processor.image_processor, processor.tokenizer, empty_below=0.3)
    strict.save_pretrained(tmp_path)
    loaded = ReferFormerProcessor.from_pretrained(tmp_path)
    assert loaded.empty_below == 0.3 and loaded.empties_absent
    frames = clip(90, 160)
    found, expected = (each(frames, text="the dog")["pixel_values"] for each in (loaded, processor))
    assert torch.equal(found, expected)


def test_with_sound_each_frame_has_its_second(tokenizer, tmp_path):
    config = tiny_config(ReferFormerConfig, len(tokenizer), use_audio=True)
    ReferFormerProcessor.from_config(config, tokenizer).save_pretrained(tmp_path)
    processor = ReferFormerProcessor.from_pretrained(tmp_path)
    sound = np.random.default_rng(0).uniform(-1, 1, 2 * 16000).astype(np.float32)
    inputs = processor(clip(64, 64), sound, "the dog", sampling_rate=16000)
    assert inputs["input_features"].shape == (1, 2, 1, 96, 64) and inputs.keys() == set(processor.model_input_names)
    with pytest.raises(ValueError, match=r"^audio: missing"):
        processor(clip(64, 64), text="the dog")


def test_sound_is_refused(processor):
    with pytest.raises(ValueError, match=r"^audio: ReferFormerProcessor hears nothing; leave it out"):
        processor(clip(64, 64), np.zeros(100), "the dog", sampling_rate=16000)
