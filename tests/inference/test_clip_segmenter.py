"""A model and its processor on the frames of one clip."""

import numpy as np
import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.inference.clip_segmenter import ClipSegmenter
from lavseg.inference.encoded_frames import FrameInput
from lavseg.inference.frame_predictions import segmented_frame
from lavseg.media import ClipPart
from lavseg.models.st_bava import StBavaConfig, StBavaModel, StBavaOutput, StBavaProcessor
from saved_clips import visible_sam2_love
from tiny_methods import EVERY_METHOD, sound_for, texts_for, tiny_method

RATE = 16000


def inputs(count=3):
    generator = np.random.default_rng(0)
    return [
        FrameInput(
            ClipPart(float(index), generator.integers(0, 256, (40, 56, 3), np.uint8), sound, RATE),
            sound,
            index,
        )
        for index, sound in enumerate(generator.uniform(-0.5, 0.5, (count, 1, RATE)).astype(np.float32))
    ]


@pytest.mark.parametrize("classes", EVERY_METHOD)
def test_a_window_is_one_clip(classes, tokenizer):
    model, processor = tiny_method(classes, tokenizer)
    found = ClipSegmenter(model, processor, texts_for(processor)).segment_clip(inputs())
    frames = np.stack([item.part.frame for item in inputs()])
    sound = np.concatenate([item.waveform for item in inputs()], axis=1)
    with torch.inference_mode():
        given = {"text": texts_for(processor) or None, **sound_for(processor, sound)}
        outputs = model(**processor(frames, **given))
    torch.testing.assert_close(found.logits, processor.gate_masks(outputs)[0], atol=1e-5, rtol=1e-5)
    for name, values in found.scores.items():
        assert values.shape == (1, 3)
        if name != "presence_logit":
            torch.testing.assert_close(values, outputs[name][0], atol=1e-5, rtol=1e-5)
    for index, item in enumerate(inputs()):
        frame = segmented_frame(processor, item.part, found.frames(index, index + 1))
        assert (0 <= frame.score <= 1) if found.scores else frame.score is None
        assert frame.masks.any() or not frame.score


def test_frames_with_sounds_of_their_own(monkeypatch):
    torch.manual_seed(0)
    config = tiny_config(StBavaConfig, spatial_mode="gate")
    model, processor = StBavaModel(config).eval(), StBavaProcessor.from_config(config)
    forward, given = model.forward, {}

    def record(**named):
        given.update(named)
        return forward(**named)

    monkeypatch.setattr(model, "forward", record)
    found = ClipSegmenter(model, processor, [], output_attentions=True).segment_frames(inputs())
    assert len(found) == 3 and found.attentions.keys() <= {*StBavaOutput.attention_maps} and found.attentions
    for index, item in enumerate(inputs()):
        alone = processor(item.part.frame[None], item.waveform, sampling_rate=RATE)
        heard = model.embed_audio(alone["input_features"])[0]
        torch.testing.assert_close(given["audio_embeddings"][0, index], heard[0])
        seen = model.embed_frames(alone["pixel_values"][0], heard)
        torch.testing.assert_close(given["image_embeddings"][0, index], seen[0])


def test_methods_on_sam2_have_a_memory(tiny_processor):
    segmenter = ClipSegmenter(visible_sam2_love(len(tiny_processor.tokenizer)), tiny_processor, ["it"])
    assert segmenter.memory.host is segmenter.model.sam2
    config = tiny_config(StBavaConfig)
    assert ClipSegmenter(StBavaModel(config), StBavaProcessor.from_config(config), []).memory is None
