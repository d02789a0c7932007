import pytest
import torch
from tiny.configurations import nano_sam_config
from transformers import SamModel

from lavseg.backbones.sam.configuration_sam import vit_sam_config, with_original_norms


@pytest.mark.parametrize(("size", "expected"), [("base", 93_735_472), ("large", 312_342_832), ("huge", 641_090_608)])
def test_published_hosts_have_their_size(size, expected):
    with torch.device("meta"):
        sam = SamModel(vit_sam_config(size))
    # The position matrix counts once: it is no part of the prompt encoder's 6,220 parameters.
    code = sam.shared_image_embedding.positional_embedding
    assert sum(p.numel() for p in sam.parameters()) == expected + code.numel()


@pytest.mark.parametrize("image_size", [256, 1024])
def test_encoder_and_prompts_have_the_size_of_the_image(image_size):
    with torch.device("meta"):
        sam = SamModel(vit_sam_config("base", image_size))
        embeddings = sam.get_image_embeddings(torch.zeros(1, 3, image_size, image_size))
    assert embeddings.shape == (1, 256, image_size // 16, image_size // 16)
    assert sam.prompt_encoder.image_embedding_size == embeddings.shape[2:]


def test_an_unknown_size_is_named():
    with pytest.raises(ValueError, match="size: 'tiny' was given, accepted are 'base', 'large', 'huge'"):
        vit_sam_config("tiny")


def test_the_decoders_norms_are_those_of_the_original():
    given = nano_sam_config()
    sam = SamModel(with_original_norms(given))
    for layer in sam.mask_decoder.transformer.layers:
        for index in (1, 2, 3, 4):
            assert getattr(layer, f"layer_norm{index}").eps == 1e-5
    assert sam.mask_decoder.transformer.layer_norm_final_attn.eps == 1e-5
    assert given.mask_decoder_config.layer_norm_eps == 1e-6
