import pytest
from tiny.configurations import nano_sam2_config, nano_sam_config, tiny_config

from lavseg.models.gavs import GavsConfig
from lavseg.models.sama_avs import SamaAvsConfig

METHODS = (SamaAvsConfig, GavsConfig)
HOSTS = {"sam": {}, "sam2": {"sam_config": nano_sam2_config(128)}}


@pytest.mark.parametrize("config_class", METHODS)
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (None, "original")),
        (HOSTS["sam2"], ("first", "sam2")),
        ({"use_text": True}, ("middle", "sam2")),
        ({**HOSTS["sam2"], "conditioning_frame": "middle", "mask_loss": "original"}, ("middle", "original")),
    ],
    ids=["sam", "sam2", "text", "chosen"],
)
def test_the_host_says_what_is_left_open_also_after_saving(config_class, fields, expected, tmp_path):
    tiny_config(config_class, **fields).save_pretrained(tmp_path)
    loaded = config_class.from_pretrained(tmp_path)
    assert (loaded.conditioning_frame, loaded.mask_loss) == expected


def test_a_host_on_sam_gets_its_original_norms_in_a_copy():
    given = nano_sam_config()
    config = tiny_config(SamaAvsConfig, sam_config=given)
    assert config.sam_config.mask_decoder_config.layer_norm_eps == 1e-5
    assert given.mask_decoder_config.layer_norm_eps == 1e-6


def test_a_text_encoder_comes_with_reading_and_is_distilroberta_unless_given():
    assert tiny_config(SamaAvsConfig).text_config is None
    config = SamaAvsConfig(**HOSTS["sam2"], use_text=True)
    assert config.text_config.model_type == "roberta" and config.text_config.num_hidden_layers == 6


@pytest.mark.parametrize("config_class", METHODS)
@pytest.mark.parametrize(
    ("host", "change", "message"),
    [
        ("sam", {"conditioning_frame": "first"}, "conditioning_frame: SAM has no memory"),
        ("sam", {"mask_loss": "sam2"}, "mask_loss: 'sam2' teaches an object score"),
        ("sam", {"mask_loss": "other"}, "mask_loss: 'other' was given, accepted are 'original', 'sam2'"),
        ("sam2", {"conditioning_frame": "last"}, "conditioning_frame: 'last' was given"),
    ],
)
def test_configurations_that_cannot_be_are_refused(config_class, host, change, message):
    with pytest.raises(ValueError, match=message):
        tiny_config(config_class, **{**HOSTS[host], **change})


def test_only_methods_that_say_so_read_on_sam():
    fields = {"use_text": True, "sam_config": nano_sam_config()}
    with pytest.raises(ValueError, match="use_text: sentences are read on a SAM2 host"):
        tiny_config(SamaAvsConfig, **fields)
    config = tiny_config(GavsConfig, **fields)
    assert (config.text_config.model_type, config.conditioning_frame, config.mask_loss) == ("roberta", None, "original")
