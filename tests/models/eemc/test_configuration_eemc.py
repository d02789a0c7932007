import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.models.eemc import EemcConfig, EemcModel


def test_the_defaults_are_the_release():
    config = EemcConfig()
    assert (config.fusion_size, config.frame_size, config.behavior) == (1024, 384, "release")
    assert not config.audio_config.final_relu and config.text_config.num_hidden_layers == 6
    with torch.device("meta"):
        model = EemcModel(config)
    encoders = ("text_encoder.", "audio_encoder.")
    counts = [(p.numel(), p.requires_grad) for n, p in model.named_parameters() if not n.startswith(encoders)]
    assert sum(count for count, _ in counts) == 128_638_289
    assert sum(count for count, trains in counts if trains) == 9_120_898


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"behavior": "fixed"}, "behavior: 'fixed' was given, accepted are 'release', 'paper'"),
        ({"frame_size": 100}, "frame_size: 100 was given, it has to be a multiple of 32"),
        ({"num_attention_heads": 7}, "num_attention_heads: 7 was given, it has to be 1 or more and to divide"),
        ({"behavior": "paper", "across_clips": True}, "across_clips: is what the release does"),
    ],
)
def test_what_does_not_fit_is_named(fields, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        tiny_config(EemcConfig, **fields)
