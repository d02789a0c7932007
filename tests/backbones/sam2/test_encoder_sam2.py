import pytest
import torch
from tiny.configurations import nano_sam2_config
from transformers import Sam2VideoModel

from lavseg.backbones.sam2.encoder_sam2 import encode_images


@pytest.fixture(scope="module")
def sam():
    torch.manual_seed(0)
    return Sam2VideoModel(nano_sam2_config()).eval()


@torch.no_grad()
def test_maps_are_those_of_the_stock_encoder_before_the_decoders_projections(sam):
    images = torch.randn(2, 3, 128, 128)
    maps = encode_images(sam, images)
    assert [tuple(found.shape) for found in maps] == [(2, 128, 32, 32), (2, 128, 16, 16), (2, 128, 8, 8)]
    stock = sam.vision_encoder(images).fpn_hidden_states
    for found, expected in zip(maps, stock[:3], strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_wrong_image_size_is_named(sam):
    with pytest.raises(ValueError, match=r"pixel_values.*3x64x64.*3x128x128"):
        encode_images(sam, torch.zeros(1, 3, 64, 64))
