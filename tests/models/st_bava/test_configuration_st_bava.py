import pytest
from tiny.configurations import tiny_config

from lavseg.models.st_bava import StBavaConfig
from lavseg.models.st_bava.modeling_st_bava import StBavaOutput


def test_the_default_host_is_vit_h_with_the_norms_it_was_trained_with():
    config = StBavaConfig()
    assert config.sam_config.vision_config.num_hidden_layers == 32
    assert config.sam_config.mask_decoder_config.layer_norm_eps == 1e-5
    assert config.hidden_size == config.sam_config.mask_decoder_config.hidden_size == 256


@pytest.mark.parametrize("field", ["fusion", "order", "spatial_mode", "mask_reduce"])
def test_unknown_choices_are_refused(field):
    with pytest.raises(ValueError, match=f"{field}: 'other'"):
        tiny_config(StBavaConfig, **{field: "other"})


def test_a_model_that_hears_nothing_is_refused():
    with pytest.raises(ValueError, match="use_adapters"):
        tiny_config(StBavaConfig, fusion="none", use_adapters=False)
    with pytest.raises(ValueError, match="num_attention_heads: 5"):
        tiny_config(StBavaConfig, num_attention_heads=5)


def test_no_attention_map_is_kept_for_evaluation():
    assert {*StBavaOutput.attention_maps} <= {*StBavaConfig.keys_to_ignore_at_inference}
