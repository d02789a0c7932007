import pytest
from tiny.configurations import nano_sam2_config, tiny_config

from lavseg.models.sama_avs import SamaAvsConfig


def test_the_default_host_is_vit_h_with_the_norms_it_was_trained_with():
    config = SamaAvsConfig()
    assert (config.sam_config.vision_config.hidden_size, config.sam_config.vision_config.num_hidden_layers) == (
        1280,
        32,
    )
    assert config.sam_config.mask_decoder_config.layer_norm_eps == 1e-5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"random_position_code": True}, "random_position_code: what happened in the release on SAM"),
        ({"use_text": True, "use_adapters": False}, "use_text: the adapters read the sentence"),
        ({"adapter_size": 0}, "adapter_size: 0 was given, it has to be 1 or more"),
        ({"adapter_size": 12, "use_text": True}, "adapter_size: 12 was given, with use_text it .* a multiple of 8"),
    ],
)
def test_what_makes_no_sense_on_sam2_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        tiny_config(SamaAvsConfig, sam_config=nano_sam2_config(), **fields)
