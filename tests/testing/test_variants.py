import pytest
import torch
from tiny.configurations import nano_sam2_config, tiny_config

from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
from lavseg.testing import Variant
from lavseg.testing.variants import FRAME_SIZE, LENGTHS, RATE, make_clip, shift_object_scores


def make_variant(tokenizer=None):
    on_sam2 = {"use_text": True, "sam_config": nano_sam2_config(128)} if tokenizer else {}
    config = tiny_config(SamaAvsConfig, **({"vocab_size": len(tokenizer)} if tokenizer else {}), **on_sam2)
    return Variant(config, SamaAvsModel, SamaAvsProcessor, parameters=0, trainable=0, tokenizer=tokenizer)


def test_clips_have_stereo_sound_as_long_as_their_frames_at_one_a_second():
    for index, length in enumerate(LENGTHS):
        frames, sound = make_clip(index)
        assert frames.shape == (length, *FRAME_SIZE, 3) and sound.shape == (2, length * RATE)
        assert (sound[0] != sound[1]).any() and (frames == make_clip(index)[0]).all()


@pytest.mark.parametrize("reads", [False, True])
def test_inputs_and_labels_follow_what_the_method_reads(reads, tokenizer):
    variant = make_variant(tokenizer if reads else None)
    sentences = 2 if reads else 1
    assert variant.inputs["pixel_values"].shape[:2] == (len(LENGTHS), max(LENGTHS))
    assert variant.inputs["frame_mask"].sum(1).tolist() == list(LENGTHS)
    assert ("input_ids" in variant.inputs) == reads
    assert variant.labels.keys() == {"labels"}
    assert variant.labels["labels"].shape[:3] == (len(LENGTHS), sentences, max(LENGTHS))
    if reads:
        assert variant.prepare([1], ["the dog"])["input_ids"].shape[:2] == (1, 1)


def test_weights_are_the_same_every_time_and_nowhere_all_zero():
    variant = make_variant()
    first, second = variant.make_model(), variant.make_model()
    for (name, value), other in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(value, other) and value.any(), name


def test_object_scores_are_shifted_where_the_host_is_sam2(tokenizer):
    assert not shift_object_scores(make_variant().make_model(), 20)
    model = make_variant(tokenizer).make_model()
    assert shift_object_scores(model, -20)
    assert (model.sam.mask_decoder.pred_obj_score_head.proj_out.bias == -20).all()
