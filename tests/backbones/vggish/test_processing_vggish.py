import copy

import numpy as np
import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.backbones.vggish.processing_vggish import SoundPerFrameProcessor
from lavseg.models.st_bava import StBavaConfig, StBavaProcessor
from lavseg.models.tpavi import TpaviConfig, TpaviProcessor

RATE = 16000


@pytest.fixture(scope="module", params=[(StBavaProcessor, StBavaConfig), (TpaviProcessor, TpaviConfig)])
def processor(request):
    kind, config = request.param
    assert issubclass(kind, SoundPerFrameProcessor)
    return kind.from_config(tiny_config(config))


def make_clip(frames=3, seconds=3.2, size=(48, 80), seed=0):
    rng = np.random.default_rng(seed)
    video = rng.integers(0, 256, (frames, *size, 3), np.uint8)
    return video, rng.uniform(-0.5, 0.5, int(RATE * seconds)).astype(np.float32)


@pytest.mark.parametrize(("frames", "seconds"), [(3, 3.2), (5, 3.6), (2, 3.4), (1, 0.3)])
def test_every_frame_has_one_patch_of_sound(processor, frames, seconds):
    video, sound = make_clip(frames, seconds)
    inputs = processor(video, sound, sampling_rate=RATE)
    patches = processor.feature_extractor(sound, sampling_rate=RATE, return_tensors="pt")["input_features"]
    assert inputs["input_features"].shape == (1, frames, 1, 96, 64)
    for frame in range(frames):
        assert torch.equal(inputs["input_features"][0, frame], patches[min(frame, len(patches) - 1)])
    assert torch.equal(inputs["audio_mask"], inputs["frame_mask"])


def test_clips_of_different_length_keep_their_own_sound(processor):
    clips = [make_clip(4, 4.1), make_clip(2, 1.5, seed=1)]
    videos, sounds = zip(*clips, strict=True)
    batch = processor(list(videos), list(sounds), sampling_rate=RATE)
    assert batch["frame_mask"].tolist() == [[True] * 4, [True, True, False, False]]
    for index, (video, sound) in enumerate(clips):
        alone = processor(video, sound, sampling_rate=RATE)
        for name in ("pixel_values", "input_features"):
            assert torch.equal(batch[name][index, : len(video)], alone[name][0])


@pytest.mark.parametrize(("fps", "heard"), [(2.0, [0, 0, 1, 1, 2, 2]), (0.5, [0, 2, 4]), (0.6, [0, 1, 3, 5])])
def test_at_another_rate_a_frame_hears_the_patch_of_its_second(processor, fps, heard):
    processor = copy.deepcopy(processor)
    processor.fps = fps
    video, sound = make_clip(len(heard), len(heard) / fps)
    inputs = processor(video, sound, sampling_rate=RATE)
    patches = processor.feature_extractor(sound, sampling_rate=RATE, return_tensors="pt")["input_features"]
    assert torch.equal(inputs["input_features"][0], patches[heard])
