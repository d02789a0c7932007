import pytest
from tiny.configurations import nano_sam2_config, tiny_config

from lavseg.backbones.vggish import VggishConfig
from lavseg.models.aural_sam2 import AuralSam2Config


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"behavior": "both"}, "behavior: 'both'"),
        ({"contrastive_loss": "triplet"}, "contrastive_loss: 'triplet'"),
        ({"conditioning_frame": "last"}, "conditioning_frame: 'last'"),
        ({"pyramid_levels": (3, 1)}, "pyramid_levels"),
        ({"pyramid_levels": ()}, "pyramid_levels"),
        ({"visual_depths": (1, 2)}, "visual_depths"),
        ({"audio_config": tiny_config(VggishConfig)}, "audio_config: embedding_size is 32"),
        ({"num_attention_heads": 3}, "num_attention_heads"),
        ({"sam2_config": nano_sam2_config(32)}, "sam2_config: image_size is 32, it has to be at least 64"),
    ],
)
def test_configurations_that_make_no_model_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        tiny_config(AuralSam2Config, **fields)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"num_classes": -1}, "num_classes"),
        ({"class_layers": 0}, "class_layers"),
        ({"use_text": True}, "use_text=False"),
    ],
)
def test_configurations_that_make_no_class_head_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        tiny_config(AuralSam2Config, **{"use_text": False, "num_classes": 2, **fields})


def test_behavior_sets_depths_heads_and_training_of_the_ear():
    release, paper = AuralSam2Config(behavior="release"), AuralSam2Config()
    assert paper.behavior == "paper"
    assert (release.visual_depths, release.token_depths) == ((3, 6, 12), (3, 3, 3))
    assert (paper.visual_depths, paper.token_depths) == ((3, 3, 3), (1, 1, 1))
    assert (release.projection_size, paper.projection_size) == (128, 64)
    assert (release.train_audio_encoder, paper.train_audio_encoder) == (False, True)


def test_the_conditioning_frame_follows_text_unless_it_is_given():
    assert tiny_config(AuralSam2Config).conditioning_frame == "middle"
    assert tiny_config(AuralSam2Config, use_text=False).conditioning_frame == "first"
    assert tiny_config(AuralSam2Config, conditioning_frame="first").conditioning_frame == "first"
