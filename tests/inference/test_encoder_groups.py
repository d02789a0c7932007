"""Frames go through image encoders in groups that fit a GPU's memory, seen on a CPU with a GPU's memory made up."""

import numpy as np
import pytest
import torch

from lavseg.inference.clip_segmenter import ClipSegmenter
from lavseg.inference.encoded_frames import FrameInput
from lavseg.inference.encoder_groups import SHARE, EncoderGroups
from lavseg.media import ClipPart
from tiny_methods import EVERY_METHOD, texts_for, tiny_method

RATE = 16000


class MadeUpMemory:
    """A GPU with room for `frames` frames within the share."""

    def __init__(self, frames):
        self.frames = frames

    def free(self):
        return int(100 * self.frames / SHARE)

    def allocated(self):
        return 1000

    def peak(self):
        return 1100


def frames(count):
    generator = np.random.default_rng(0)
    sounds = generator.uniform(-0.5, 0.5, (count, 1, RATE)).astype(np.float32)
    images = generator.integers(0, 256, (count, 40, 56, 3), np.uint8)
    parts = [ClipPart(float(index), *pair, RATE) for index, pair in enumerate(zip(images, sounds, strict=True))]
    return [FrameInput(part, part.waveform, number) for number, part in enumerate(parts)]


def test_one_frame_at_a_time_on_a_cpu():
    groups = EncoderGroups.on(torch.device("cpu"))
    with groups.measured():
        pass
    assert groups.size == 1


@pytest.mark.parametrize(("room", "size"), [(0.5, 1), (3, 3), (40, 40)])
def test_the_first_frame_shows_how_many_fit(room, size):
    groups = EncoderGroups(MadeUpMemory(room))
    for expected in (1, size, size):
        assert groups.size == expected
        with groups.measured():
            pass


def test_what_takes_no_memory_is_not_divided_by():
    memory = MadeUpMemory(2)
    memory.peak = memory.allocated
    groups = EncoderGroups(memory)
    with groups.measured():
        pass
    assert groups.size == 200


@pytest.mark.parametrize("classes", EVERY_METHOD)
def test_predictions_do_not_depend_on_the_groups(classes, tokenizer, monkeypatch):
    model, processor = tiny_method(classes, tokenizer)
    if "audio_embeddings" in model.embedding_inputs:
        segment, texts = ClipSegmenter.segment_frames, []
    else:
        segment, texts = ClipSegmenter.segment_clip, texts_for(processor)
    embed, sizes = model.embed_frames, []

    def count(**given):
        sizes.append(len(given["pixel_values"]))
        return embed(**given)

    monkeypatch.setattr(model, "embed_frames", count)
    alone, grouped = ClipSegmenter(model, processor, texts), ClipSegmenter(model, processor, texts)
    grouped.frames.groups = EncoderGroups(MadeUpMemory(2))
    expected, found = (segment(segmenter, frames(4)) for segmenter in (alone, grouped))
    assert sizes == [1, 1, 1, 1, 1, 2, 1]
    for values, others in ((found.logits, expected.logits), (found.scores, expected.scores)):
        torch.testing.assert_close(values, others, atol=1e-5, rtol=1e-5)
