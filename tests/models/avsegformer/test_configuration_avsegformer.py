import pytest
from tiny.configurations import tiny_config

from lavseg.models.avsegformer import AvsegFormerConfig


def test_the_default_is_the_released_model_on_pvt():
    config = AvsegFormerConfig()
    assert config.vision_config.depths == [3, 6, 40, 3] and config.vision_config.drop_path_rate == 0.1
    assert config.text_config is None and config.frame_size == 512


def test_a_model_that_reads_has_a_text_encoder():
    assert AvsegFormerConfig(use_text=True).text_config.vocab_size == 50265


@pytest.mark.parametrize(
    ("field", "value"), [("frame_size", 100), ("hidden_size", 48), ("num_attention_heads", 5), ("num_queries", 0)]
)
def test_sizes_that_do_not_fit_are_refused(field, value):
    with pytest.raises(ValueError, match=rf"{field}: .*{value}"):
        tiny_config(AvsegFormerConfig, **{field: value})
