"""What every method takes over in which each frame has a sound, seen in one that only looks at what it is given."""

import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.backbones.vggish import VggishModel
from lavseg.backbones.vggish.base_sound_per_frame import SoundPerFrameModel
from lavseg.models.st_bava import StBavaConfig


class Looking(SoundPerFrameModel):
    config_class = StBavaConfig

    def __init__(self, config):
        super().__init__(config)
        self.audio_encoder = VggishModel(config.audio_config)

    def backbones(self):
        return {"audio": self.audio_encoder}

    def frame_inputs(self, pixel_values, image_embeddings, class_labels):
        return {"pixel_values": (pixel_values, (3, "height", "width")), "image_embeddings": (image_embeddings, (7,))}


ARGUMENTS = (
    *("pixel_values", "image_embeddings", "input_features", "audio_embeddings", "input_ids", "text_embeddings"),
    *("frame_mask", "audio_mask", "labels", "label_mask"),
)


@pytest.fixture(scope="module")
def model():
    return Looking(tiny_config(StBavaConfig)).eval()


def prepare(model, **given):
    return model.prepare(**dict.fromkeys(ARGUMENTS) | given)


@torch.no_grad()
def test_every_sound_has_an_embedding(model):
    features = torch.rand(2, 3, 1, 96, 64)
    embedded = model.embed_audio(features)
    assert embedded.shape == (2, 3, model.config.audio_config.embedding_size)
    torch.testing.assert_close(model.embed_audio(features[:, 1:]), embedded[:, 1:])


def test_frames_and_sounds_come_in_either_form(model):
    size = model.config.audio_config.embedding_size
    frames = {"pixel_values": torch.rand(1, 2, 3, 8, 8)}, {"image_embeddings": torch.rand(1, 2, 7)}
    sounds = {"input_features": torch.rand(1, 2, 1, 96, 64)}, {"audio_embeddings": torch.rand(1, 2, size)}
    for seen, heard in zip(frames, sounds, strict=True):
        assert prepare(model, **seen, **heard).batch == (1, 1, 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pixel_values": None}, "^pixel_values: missing"),
        ({"image_embeddings": torch.rand(1, 2, 7)}, "^pixel_values: image_embeddings was given, too"),
        ({"input_features": None}, "^input_features: missing"),
        ({"input_ids": torch.ones(1, 4, dtype=torch.long)}, "^input_ids: Looking reads no text"),
        ({"input_features": torch.rand(1, 3, 1, 96, 64)}, "^input_features: has to be"),
    ],
)
def test_what_does_not_fit_is_named(model, given, message):
    fitting = {"pixel_values": torch.rand(1, 2, 3, 8, 8), "input_features": torch.rand(1, 2, 1, 96, 64)}
    with pytest.raises(ValueError, match=message):
        prepare(model, **fitting | given)
