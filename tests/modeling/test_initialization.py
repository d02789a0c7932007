from functools import partial

import pytest
import torch
from torch import nn

from lavseg.modeling.initialization import init_attention, init_linear, rebuild


def same(module, other):
    return all(torch.equal(*pair) for pair in zip(module.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [nn.Linear, partial(nn.Conv2d, kernel_size=3)], ids=["linear", "conv"])
def test_layers_start_as_pytorch_starts_them(kind, bias):
    torch.manual_seed(0)
    expected = kind(5, 7, bias=bias)
    module = kind(5, 7, bias=bias)
    assert not same(module, expected)
    torch.manual_seed(0)
    init_linear(module)
    assert same(module, expected)


def test_attention_starts_as_pytorch_starts_it():
    module = nn.MultiheadAttention(8, 2)
    for parameter in module.parameters():
        nn.init.constant_(parameter, 5)
    torch.manual_seed(0)
    init_attention(module)
    expected = nn.MultiheadAttention(8, 2)
    torch.manual_seed(0)
    expected._reset_parameters()
    assert torch.equal(module.in_proj_weight, expected.in_proj_weight)
    assert torch.equal(module.in_proj_bias, expected.in_proj_bias)
    assert torch.equal(module.out_proj.bias, expected.out_proj.bias)


def test_weights_that_were_loaded_stay():
    module = nn.Linear(3, 4)
    nn.init.constant_(module.weight, 5)
    module.weight._is_hf_initialized = True
    init_linear(module)
    assert (module.weight == 5).all()


def test_what_is_rebuilt_has_the_very_parameters():
    class Doubled(nn.Linear):
        def forward(self, values):
            return 2 * super().forward(values)

    stock = nn.Linear(3, 2)
    doubled = rebuild(stock, lambda: Doubled(3, 2))
    values = torch.randn(4, 3)
    assert doubled.weight is stock.weight and torch.equal(doubled(values), 2 * stock(values))
