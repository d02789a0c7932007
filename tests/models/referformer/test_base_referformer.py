import torch
from tiny.configurations import tiny_config

from lavseg.models.referformer import ReferFormerConfig, ReferFormerModel


def test_it_starts_as_the_release_draws_it():
    model = ReferFormerModel(tiny_config(ReferFormerConfig))
    transformer = model.transformer
    assert {round(head.bias.item(), 4) for head in transformer.class_heads} == {-4.5951}
    assert not any(head.layers[-1].weight.any() for head in transformer.box_heads)
    assert transformer.box_heads[0].layers[-1].bias.tolist() == [0, 0, -2, -2]
    assert not transformer.box_heads[1].layers[-1].bias.any() and not model.mask_head.controller.layers[0].bias.any()
    offsets = transformer.decoder_layers[0].encoder_attn.sampling_offsets
    assert not offsets.weight.any()
    torch.testing.assert_close(offsets.bias.view(2, 4, 4, 2)[0, 1], torch.tensor([[1.0, 0], [2, 0], [3, 0], [4, 0]]))
