import pytest
import torch
from torch import nn
from transformers import PreTrainedConfig

from lavseg.backbones.attention import MultiheadAttention, attend


class Layer(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.config = PreTrainedConfig()
        self.config._attn_implementation = kind


def written_out(query, key, value, mask, scaling):
    weights = (query @ key.mT * scaling).masked_fill(~mask, -torch.inf).softmax(-1)
    return (weights @ value).transpose(1, 2), weights


@pytest.mark.parametrize("scaling", [None, 0.7])
@pytest.mark.parametrize("kind", ["eager", "sdpa"])
def test_every_implementation_attends_to_what_the_mask_shows(kind, scaling):
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 6, 4), torch.randn(2, 3, 6, 4)
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])[:, None, None]
    attended, weights = written_out(query, key, value, mask, scaling or 0.5)
    found, given = attend(Layer(kind), query, key, value, mask, scaling)
    torch.testing.assert_close(found, attended, atol=1e-6, rtol=1e-5)
    assert (given is None) == (kind == "sdpa")
    found, given = attend(Layer(kind), query, key, value, mask, scaling, output_attentions=True)
    torch.testing.assert_close(found, attended, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(given, weights, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["eager", "sdpa"])
def test_weights_are_dropped_in_training_alone(kind):
    layer, states = Layer(kind), [torch.randn(1, 1, 200, 4) for _ in range(3)]
    plain = attend(layer, *states)[0]
    assert not torch.equal(attend(layer, *states, dropout=0.5)[0], plain)
    torch.testing.assert_close(attend(layer.eval(), *states, dropout=0.5)[0], plain)


@pytest.mark.parametrize("kind", ["eager", "sdpa"])
def test_multihead_attention_is_pytorchs(kind):
    torch.manual_seed(0)
    ours = MultiheadAttention(Layer(kind).config, 12, 3)
    nn.init.normal_(ours.in_proj_bias)
    theirs = nn.MultiheadAttention(12, 3, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    tokens, memory = torch.randn(2, 4, 12), torch.randn(2, 5, 12)
    mask = torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    expected = theirs(tokens, memory, memory, key_padding_mask=~mask)[0]
    torch.testing.assert_close(ours(tokens, memory, mask), expected, atol=1e-6, rtol=1e-5)
