import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.models.referformer import ReferFormerConfig, ReferFormerModel
from lavseg.models.referformer.text_referformer import map_positions
from lavseg.models.referformer.transformer_referformer import (
    FrameLevels,
    ReferFormerMLP,
    valid_ratios,
)

SIZES = [(4, 6), (2, 3), (1, 2), (1, 1)]


def frame_levels(real_columns=6):
    mask = torch.zeros(1, 4, 6, dtype=torch.bool)
    mask[..., :real_columns] = True
    masks = [torch.nn.functional.interpolate(mask[None].float(), size)[0] > 0 for size in SIZES]
    return FrameLevels(
        torch.randn(1, 33, 32, generator=torch.Generator().manual_seed(0)),
        torch.cat([map_positions(level, 32, torch.float32).flatten(2).mT for level in masks], dim=1),
        torch.cat([level.flatten(1) for level in masks], dim=1),
        SIZES,
        torch.stack([valid_ratios(level, torch.float32) for level in masks], dim=1),
    )


@pytest.fixture(scope="module")
def transformer():
    torch.manual_seed(0)
    return ReferFormerModel(tiny_config(ReferFormerConfig)).eval().transformer


def test_maps_come_back_out_of_tokens():
    levels = frame_levels()
    maps = levels.maps(levels.tokens)
    assert [tuple(level.shape[-2:]) for level in maps] == SIZES
    assert torch.equal(maps[1][0, :, 1, 2], levels.tokens[0, 24 + 5])


def test_the_real_share_of_width_and_height():
    mask = torch.zeros(1, 4, 6, dtype=torch.bool)
    mask[:, :3, :2] = True
    torch.testing.assert_close(valid_ratios(mask, torch.float32), torch.tensor([[2 / 6, 3 / 4]]))


@torch.no_grad()
def test_boxes_are_refined_from_the_same_points_for_every_frame(transformer):
    levels = frame_levels()
    memory = transformer.encode(levels)
    first = transformer.decode(memory, levels, torch.randn(1, 3, 32))[0]
    points = transformer.reference_points(transformer.queries.weight).sigmoid()
    # The box heads start at zero, with sizes of sigmoid(-2).
    torch.testing.assert_close(first.centres[0], points)
    torch.testing.assert_close(first.boxes[0, :, 2:], torch.full((3, 2), -2.0).sigmoid())


def test_no_gradient_comes_through_centres_and_earlier_boxes(transformer):
    levels = frame_levels()
    found = transformer.decode(transformer.encode(levels), levels, torch.randn(1, 3, 32))
    assert not found[0].centres.requires_grad and found[0].boxes.requires_grad
    found[1].boxes.sum().backward()
    assert transformer.box_heads[0].layers[-1].weight.grad is None
    assert transformer.box_heads[1].layers[-1].weight.grad is not None


@torch.no_grad()
def test_padding_is_not_looked_at(transformer):
    levels = frame_levels(real_columns=4)
    changed = levels.tokens.masked_fill(~levels.mask[..., None], 7.0)
    again = FrameLevels(changed, levels.positions, levels.mask, SIZES, levels.valid_ratios)
    queries = torch.randn(1, 3, 32, generator=torch.Generator().manual_seed(1))
    found, expected = (
        transformer.decode(transformer.encode(each), each, queries)[-1].states for each in (again, levels)
    )
    torch.testing.assert_close(found, expected)


def test_the_mlp_has_relu_between_its_layers():
    mlp = ReferFormerMLP(2, 3, 1)
    states = torch.randn(4, 2)
    first, last = mlp.layers
    assert torch.equal(mlp(states), last(first(states).relu()))
