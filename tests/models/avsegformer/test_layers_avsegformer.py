import torch
from tiny.configurations import tiny_config

from lavseg.models.avsegformer import AvsegFormerConfig
from lavseg.models.avsegformer.layers_avsegformer import AvsegFormerAttention, AvsegFormerDecoderLayer

CONFIG = tiny_config(AvsegFormerConfig)


@torch.no_grad()
def test_with_one_token_every_query_takes_in_the_same_vector():
    attention = AvsegFormerAttention(CONFIG, bias=False)
    queries, sound = torch.randn(2, 5, 64), torch.randn(2, 1, 64)
    expected = attention.out_proj(attention.v_proj(sound)).expand(-1, 5, -1)
    torch.testing.assert_close(attention(queries, sound), expected, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_tokens_that_are_not_real_change_nothing():
    layer = AvsegFormerDecoderLayer(CONFIG, 32, bias=True, dropout=0.1).eval()
    queries, memory, mask = torch.randn(2, 5, 64), torch.randn(2, 4, 64), torch.tensor([[1, 1, 0, 0]] * 2).bool()
    torch.testing.assert_close(layer(queries, memory, mask), layer(queries, memory[:, :2]), atol=1e-6, rtol=1e-5)
