import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.backbones.pyramids.base_pyramids import check_edges
from lavseg.models.avsegformer import AvsegFormerConfig, AvsegFormerModel
from lavseg.models.tpavi import TpaviConfig, TpaviModel


@pytest.mark.parametrize(
    ("kind", "config_class", "encoder"),
    [(TpaviModel, TpaviConfig, "vision"), (AvsegFormerModel, AvsegFormerConfig, "vision_encoder")],
)
def test_the_encoder_of_frames_is_known_and_trains(kind, config_class, encoder):
    model = kind(tiny_config(config_class))
    vision = getattr(model, encoder)
    assert [*model.image_blocks] == [*vision.blocks] and model.embedding_inputs == ("pixel_values",)
    assert model.frozen_modules() == [model.audio_encoder]
    assert all(parameter.requires_grad for parameter in vision.parameters())


@pytest.mark.parametrize("size", [(48, 64), (64, 40), (0, 32)])
def test_edges_are_multiples_of_the_coarsest_stride(size):
    check_edges(torch.empty(1, 3, 64, 96))
    with pytest.raises(ValueError, match=r"^pixel_values: height and width have to be multiples of 32, got \d+ x \d+$"):
        check_edges(torch.empty(1, 3, *size))
