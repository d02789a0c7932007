import pytest
from tiny.configurations import nano_sam2_config, tiny_config

from lavseg.backbones.vggish import VggishConfig
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2ForSemanticSegmentation


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
        ({"class_layers": 0}, "class_layers"),
        ({"num_labels": 1}, "num_labels: counts background and at least one class, got 1"),
        ({"use_text": True}, "use_text=False"),
    ],
)
def test_configurations_that_make_no_class_head_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        AuralSam2ForSemanticSegmentation(tiny_config(AuralSam2Config, **{"use_text": False, **fields}))


def test_files_from_before_the_class_head_was_an_architecture_are_read(tmp_path):
    with pytest.deprecated_call(match="num_classes: .*AuralSam2ForSemanticSegmentation takes num_labels=6"):
        config = tiny_config(AuralSam2Config, use_text=False, num_classes=5)
    assert config.num_labels == 6 and config.architectures == ["AuralSam2ForSemanticSegmentation"]
    assert "num_classes" not in config.to_dict()
    names = {0: "background", 1: "dog"}
    named = AuralSam2Config.from_dict({**config.to_dict(), "id2label": names, "num_classes": 1})
    assert named.id2label == names and named.num_labels == 2


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
