import pytest
from tiny.configurations import nano_sam2_config, nano_sam_config, tiny_config

from lavseg import VggishConfig
from lavseg.models.gavs import GavsConfig


def test_the_default_host_is_vit_b_with_the_norms_it_was_trained_with():
    config = GavsConfig()
    assert (config.sam_config.vision_config.hidden_size, config.sam_config.vision_config.num_hidden_layers) == (768, 12)
    assert config.sam_config.mask_decoder_config.layer_norm_eps == 1e-5
    assert (config.mask_loss, config.conditioning_frame, config.text_config) == ("original", None, None)


@pytest.mark.parametrize(("use_text", "frame"), [(False, "first"), (True, "middle")])
def test_on_sam2_the_loss_is_sam2s_and_the_conditioning_frame_follows_text(use_text, frame):
    config = GavsConfig(sam_config=nano_sam2_config(), use_text=use_text)
    assert (config.mask_loss, config.conditioning_frame) == ("sam2", frame)
    assert (config.text_config is not None) == use_text
    assert not use_text or (config.text_config.model_type, config.text_config.num_hidden_layers) == ("roberta", 6)


def test_configurations_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="audio_noise: 'some' was given, accepted are 'none', 'add', 'replace'"):
        tiny_config(GavsConfig, audio_noise="some")


@pytest.mark.parametrize(("host", "relu"), [(None, False), (nano_sam_config(), False), (nano_sam2_config(), True)])
def test_on_sam_vggish_has_no_final_relu_unless_it_is_given(host, relu):
    config = GavsConfig(sam_config=host)
    assert config.audio_config.final_relu == relu
    assert GavsConfig.from_dict(config.to_dict()).audio_config.final_relu == relu
    assert GavsConfig(sam_config=host, audio_config=VggishConfig()).audio_config.final_relu


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"adapter_size": 0}, "0 was given, it has to be 1 or more"),
        ({"adapter_size": 6, "use_text": True}, "6 was given, with use_text it has to be a multiple of 4, the heads"),
    ],
)
def test_adapters_of_a_size_that_does_not_fit_are_refused(fields, message):
    assert tiny_config(GavsConfig, adapter_size=6).adapter_size == 6
    with pytest.raises(ValueError, match=f"^adapter_size: {message}"):
        tiny_config(GavsConfig, **fields)
