import pytest
import torch

from lavseg.backbones.pyramids.configuration_pyramids import resnet50_config, swin_config
from lavseg.models.referformer import ReferFormerConfig, ReferFormerModel


def test_the_defaults_are_the_releases():
    config = ReferFormerConfig()
    assert (config.vision_config.model_type, list(config.vision_config.depths)) == ("resnet", [3, 4, 6, 3])
    text = config.text_config
    assert (text.num_hidden_layers, text.layer_norm_eps, text.max_position_embeddings) == (12, 1e-5, 514)
    assert (config.num_queries, config.hidden_size, config.dropout) == (5, 256, 0.1)


# Of the released files, with the text encoder; what trains with it frozen.
@pytest.mark.parametrize(
    ("vision", "count", "trainable"),
    [
        (resnet50_config(), 176_262_207, 51_394_175),
        (resnet50_config(depths=[3, 4, 23, 3]), 195_202_111, 70_334_079),
        (swin_config(96), 176_764_473, 52_118_841),
        (swin_config(192), 346_380_051, 221_734_419),
    ],
    ids=["resnet50", "resnet101", "swin-t", "swin-l"],
)
def test_it_has_as_many_parameters_as_the_release(vision, count, trainable):
    with torch.device("meta"):
        parameters = list(ReferFormerModel(ReferFormerConfig(vision_config=vision)).parameters())
    assert sum(each.numel() for each in parameters) == count
    assert sum(each.numel() for each in parameters if each.requires_grad) == trainable


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 100}, r"hidden_size: has to be a multiple of 32, got 100"),
        (
            {"num_attention_heads": 7},
            r"num_attention_heads: 7 was given, it has to be 1 or more and to divide hidden_size, 256",
        ),
        ({"num_queries": 0}, r"num_queries: 0 was given, it has to be 1 or more"),
        ({"frame_size": 16}, r"frame_size: has to be 32 at least, got 16"),
        ({"text_config": {"model_type": "bert"}}, r"text_config: is a 'bert', 'roberta' is needed"),
    ],
)
def test_what_cannot_be_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ReferFormerConfig(**fields)
