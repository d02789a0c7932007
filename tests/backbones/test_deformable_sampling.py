import pytest
import torch
from transformers.models.deformable_detr.modeling_deformable_detr import MultiScaleDeformableAttention
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention,
)

from lavseg.backbones.deformable_sampling import DeformableAttention, SummedSampling, sum_samples

SIZES = [(4, 6), (2, 3), (1, 2), (1, 1)]


def given(dtype=torch.float32):
    torch.manual_seed(0)
    # Places beyond the edges of the maps, too.
    parts = torch.randn(2, 33, 2, 8), 1.4 * torch.rand(2, 5, 2, 4, 4, 2) - 0.2, torch.rand(2, 5, 2, 4, 4)
    return [part.to(dtype) for part in parts]


def by_the_library(value, places, weights):
    shapes = torch.tensor(SIZES)
    return MultiScaleDeformableAttention()(value, shapes, SIZES, None, places, weights, 64)


def test_samples_are_those_of_the_library():
    value, places, weights = given()
    expected = by_the_library(value, places, weights)
    torch.testing.assert_close(sum_samples(value, SIZES, places, weights), expected)
    shapes = torch.tensor(SIZES)
    torch.testing.assert_close(SummedSampling()(value, shapes, SIZES, None, places, weights, 64), expected)


def test_gradients_are_those_of_the_library():
    ours, theirs = (([part.requires_grad_() for part in given(torch.float64)]) for _ in range(2))
    sum_samples(ours[0], SIZES, *ours[1:]).square().sum().backward()
    by_the_library(*theirs).square().sum().backward()
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found.grad, expected.grad)


def test_half_precision_is_summed_in_full():
    value, places, weights = (part.bfloat16() for part in given())
    found = sum_samples(value, SIZES, places, weights)
    expected = sum_samples(value.float(), SIZES, places.float(), weights.float())
    assert found.dtype == torch.bfloat16 and torch.equal(found, expected.bfloat16())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_place_that_is_no_number_stays_one_error(bad):
    value, places, weights = given()
    places[0, 1, 0, 2, 3, 0] = bad
    found = sum_samples(value, SIZES, places, weights)
    assert found[0, 1, :8].isnan().all() and found[1].isfinite().all() and found[0, 2:].isfinite().all()


@torch.no_grad()
def test_the_attention_is_mask2formers():
    torch.manual_seed(0)
    attention = DeformableAttention(16, 2, 4, 4)
    for parameter in attention.parameters():
        parameter.copy_(torch.randn_like(parameter))
    library = Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention(16, 2, 4, 4)
    library.load_state_dict(attention.state_dict())
    states, codes, points = torch.randn(2, 33, 16), torch.randn(2, 33, 16), torch.rand(2, 33, 4, 2)
    mask = torch.arange(33).expand(2, -1) % 5 == 4
    arguments = {"attention_mask": mask, "encoder_hidden_states": states, "position_embeddings": codes}
    arguments |= {"reference_points": points, "spatial_shapes_list": SIZES}
    for found, expected in zip(attention(states, **arguments), library(states, **arguments), strict=True):
        torch.testing.assert_close(found, expected)
