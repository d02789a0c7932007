import pytest
import torch
from torch import nn

from lavseg.backbones.mask2former.adapters_mask2former import AdaptedProjection


@pytest.fixture
def states():
    return torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("place", ["after", "beside", "instead"])
@torch.no_grad()
def test_a_bottleneck_stands_where_it_is_put(states, place):
    stock = nn.Linear(16, 16)
    adapted = AdaptedProjection(stock, 4, place)
    down, _, up = adapted.adapter
    assert down.weight.shape == (4, 16) and up.weight.shape == (16, 4)

    def bottleneck(given):
        return up(down(given).relu())

    expected = {
        "after": bottleneck(stock(states)),
        "beside": stock(states) + bottleneck(stock(states)),
        "instead": bottleneck(states),
    }
    torch.testing.assert_close(adapted(states), expected[place])
    assert ("projection.weight" in adapted.state_dict()) == (place != "instead")


@pytest.mark.parametrize("place", ["after", "instead"])
def test_the_weights_of_the_layer_alone_leave_the_bottleneck_as_it_is(place):
    adapted, other = AdaptedProjection(nn.Linear(16, 16), 4, place), nn.Linear(16, 16)
    before = {name: value.clone() for name, value in adapted.adapter.state_dict().items()}
    adapted.load_state_dict(other.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in adapted.adapter.state_dict().items())
    if place == "after":
        assert torch.equal(adapted.projection.weight, other.weight)
        own = {name: 2 * value for name, value in adapted.state_dict().items()}
        adapted.load_state_dict(own)
        assert torch.equal(adapted.adapter[0].weight, own["adapter.0.weight"])
        with pytest.raises(RuntimeError, match=r"adapter\.0\.weight"):
            adapted.load_state_dict({name: value for name, value in own.items() if name != "adapter.0.weight"})


def test_those_of_decoders_start_from_a_uniform_distribution():
    for uniform, deviation in ((True, 0.18), (False, 0.02)):
        adapted = AdaptedProjection(nn.Linear(48, 48), 4, "after", uniform)
        for layer in adapted.adapter[::2]:
            nn.init.normal_(layer.weight, std=0.02)
        adapted.init_weights()
        assert adapted.adapter[0].weight.std().item() == pytest.approx(deviation, rel=0.25)
