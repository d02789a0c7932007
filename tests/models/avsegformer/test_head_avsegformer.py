import torch
from tiny.configurations import tiny_config
from transformers.models.mask2former.modeling_mask2former import Mask2FormerPixelDecoderEncoderOnly

from lavseg.models.avsegformer import AvsegFormerConfig
from lavseg.models.avsegformer.head_avsegformer import AvsegFormerMixer, AvsegFormerPixelDecoder, reference_points


def test_places_are_those_of_deformable_detr():
    sizes = [(8, 12), (4, 6), (2, 3)]
    expected = Mask2FormerPixelDecoderEncoderOnly.get_reference_points(sizes, torch.ones(1, 3, 2), "cpu")
    torch.testing.assert_close(reference_points(sizes, torch.zeros(1)), expected)


@torch.no_grad()
def test_places_are_as_exact_in_half_precision():
    sizes, decoder = [(28, 28)], AvsegFormerPixelDecoder(tiny_config(AvsegFormerConfig), [4, 8, 8, 16])
    exact, codes = reference_points(sizes, torch.zeros(1)), []
    assert torch.equal(reference_points(sizes, torch.zeros(1, dtype=torch.bfloat16)), exact)
    for dtype in (torch.float32, torch.bfloat16):
        codes.append(decoder._positions(torch.zeros(1, 64, 64, 64, dtype=dtype), torch.zeros(64, dtype=dtype)).float())
    torch.testing.assert_close(*codes, atol=2**-8, rtol=0)


@torch.no_grad()
def test_a_gate_is_one_number_for_each_channel_of_a_frame():
    mixer = AvsegFormerMixer(tiny_config(AvsegFormerConfig))
    features, sound = torch.rand(2, 64, 3, 5) + 0.5, torch.randn(2, 1, 64)
    gates = (mixer(features, sound) / features).flatten(2)
    assert ((gates > 0) & (gates < 1)).all()
    torch.testing.assert_close(gates, gates[..., :1].expand_as(gates))
    assert (gates[0] - gates[1]).abs().max() > 1e-3


@torch.no_grad()
def test_maps_become_a_memory_of_the_coarse_ones_and_features_of_the_finest():
    decoder = AvsegFormerPixelDecoder(tiny_config(AvsegFormerConfig), [4, 8, 8, 16]).eval()
    torch.nn.init.normal_(decoder.level_embed)
    maps = [torch.randn(2, width, 32 // 2**i, 48 // 2**i) for i, width in enumerate([4, 8, 8, 16])]
    memory, features = decoder(maps)
    assert memory.shape == (2, 16 * 24 + 8 * 12 + 4 * 6, 64) and features.shape == (2, 64, 32, 48)
