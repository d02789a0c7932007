import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.models.referformer import ReferFormerConfig
from lavseg.models.referformer.pyramid_referformer import (
    REDUCTIONS,
    ReferFormerClipAttention,
    ReferFormerPyramid,
    ReferFormerWordAttention,
)


def config():
    return tiny_config(ReferFormerConfig)


@pytest.fixture
def maps():
    torch.manual_seed(0)
    return torch.randn(1, 3, 32, 4, 6), torch.randn(1, 32, 4, 6)


@torch.no_grad()
def test_the_order_of_frames_is_invisible(maps):
    attention = ReferFormerClipAttention(config(), 2).eval()
    frames, codes = maps
    order = [2, 0, 1]
    found = attention(frames, codes, None).unflatten(1, (3, -1))
    torch.testing.assert_close(attention(frames[:, order], codes, None).unflatten(1, (3, -1)), found[:, order])


@torch.no_grad()
def test_frames_see_each_other_but_no_padding_frame(maps):
    attention = ReferFormerClipAttention(config(), 2).eval()
    frames, codes = maps
    mask = torch.ones(1, 3, 4, 6, dtype=torch.bool)
    mask[:, 2] = False
    found = attention(frames, codes, mask)[:, : 2 * 24]
    torch.testing.assert_close(found, attention(frames[:, :2], codes, None))
    assert not torch.allclose(found, attention(frames, codes, None)[:, : 2 * 24])
    assert attention(frames, codes, mask).isfinite().all()


@torch.no_grad()
def test_codes_are_the_same_in_every_frame():
    attention = ReferFormerWordAttention(config()).eval()
    tokens, codes = torch.randn(2, 3 * 5, 32), torch.randn(2, 5, 32)
    words = torch.randn(2, 4, 32), torch.randn(2, 4, 32), torch.ones(2, 4, dtype=torch.bool)
    torch.testing.assert_close(attention(tokens, codes, *words), attention(tokens, codes.repeat(1, 3, 1), *words))


@torch.no_grad()
def test_words_that_are_padding_are_not_read():
    attention = ReferFormerWordAttention(config()).eval()
    tokens, codes, words = torch.randn(1, 5, 32), torch.randn(1, 5, 32), torch.randn(1, 4, 32)
    mask = torch.tensor([[True, True, True, False]])
    places = torch.randn(1, 4, 32)
    found = attention(tokens, codes, words, places, mask)
    torch.testing.assert_close(attention(tokens, codes, words[:, :3], places[:, :3], mask[:, :3]), found)


@torch.no_grad()
def test_the_finest_level_is_seen_once_for_all_sentences():
    torch.manual_seed(0)
    pyramid = ReferFormerPyramid(config(), 8).eval()
    assert [level.clip_attention.reduction for level in pyramid.levels] == list(REDUCTIONS)
    sizes = [(2, 2), (3, 4), (6, 7), (12, 14)]
    coarse = [torch.randn(1, 2, 32, *size) for size in sizes[:3]]
    positions = [torch.randn(1, 32, *size) for size in sizes]
    masks = [None] * 4
    adapted = pyramid.adapt_finest(torch.randn(2, 8, *sizes[-1]))
    finest = pyramid.see_finest(adapted[None], positions[-1], None)
    assert finest.shape == (1, 2 * 12 * 14, 32)
    words = torch.randn(1, 3, 32), torch.randn(1, 3, 32), torch.ones(1, 3, dtype=torch.bool)
    features, read = pyramid(coarse, finest, positions, masks, words)
    assert features.shape == (1, 2, 32, 12, 14) and read.shape == (1, 2 * 2 * 2, 32)
    other, _ = pyramid(coarse, finest, positions, masks, (words[0] + 1, *words[1:]))
    assert not torch.allclose(features, other)
