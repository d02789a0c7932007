import pytest
from tiny.configurations import nano_sam2_config, tiny_config
from transformers import Qwen2Config

from lavseg import SimTokenConfig


def test_defaults_are_the_releases():
    config = SimTokenConfig()
    language, vision, sam = config.language_config, config.vision_config, config.sam_config
    assert (language.model_type, language.hidden_size, language.num_hidden_layers) == ("llama", 4096, 32)
    assert (language.rms_norm_eps, language.vocab_size, config.seg_token_id) == (1e-5, 32001, 32000)
    assert (vision.hidden_size, vision.image_size, vision.patch_size) == (1024, 224, 14)
    assert sam.vision_config.hidden_size == 1280 and sam.mask_decoder_config.layer_norm_eps == 1e-5
    assert not config.audio_config.final_relu and config.target_frame == 5


def test_any_decoder_and_its_last_token(tmp_path):
    config = tiny_config(SimTokenConfig, language_config=Qwen2Config(vocab_size=90, hidden_size=32).to_dict())
    assert isinstance(config.language_config, Qwen2Config) and config.seg_token_id == 89
    config.save_pretrained(tmp_path)
    assert SimTokenConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


def test_sam2_gives_one_mask_and_every_frame_is_prompted(tmp_path):
    published = nano_sam2_config(128)
    config = tiny_config(SimTokenConfig, sam_config=published)
    assert published.multimask_output_in_sam and not config.sam_config.multimask_output_in_sam
    assert not config.sam_config.mask_decoder_config.dynamic_multimask_via_stability
    assert config.prompted_frames == "every"
    config.save_pretrained(tmp_path)
    assert SimTokenConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"alignment": "none"}, "^alignment: 'none' was given, accepted are 'release', 'contrastive'"),
        ({"vision_config": {"model_type": "vit"}}, "^vision_config: a 'vit' was given, 'clip_vision_model' is needed"),
        ({"merge_levels": ((17, 5),)}, "^merge_levels: .* the 16 patches of a frame, got \\[17\\]"),
        ({"merge_levels": ((4, 3), (8, 3))}, "^merge_levels: "),
        ({"merge_levels": ()}, "^merge_levels: "),
        ({"merge_levels": [[8]]}, "^merge_levels: each is a number of clusters and one of neighbours, got \\[\\[8"),
        ({"merge_levels": ((8, 0),)}, "^merge_levels: each is a number of clusters and one of neighbours"),
        ({"target_frame": -1}, "^target_frame: -1 was given"),
        ({"prompted_frames": "last"}, "^prompted_frames: 'last' was given, accepted are 'every', 'first'"),
        ({"prompted_frames": "first"}, "^prompted_frames: SAM does not track .* give a Sam2VideoConfig as sam_config"),
        ({"max_frames": 0}, "^max_frames: 0 was given"),
        ({"seg_token_id": 401}, "^seg_token_id: 401 was given, the language model has 401 tokens"),
    ],
)
def test_what_does_not_go_together_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        tiny_config(SimTokenConfig, **fields)
