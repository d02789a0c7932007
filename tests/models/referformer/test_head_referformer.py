import pytest
import torch
import torch.nn.functional as F
from tiny.configurations import tiny_config

from lavseg.models.referformer import ReferFormerConfig
from lavseg.models.referformer.head_referformer import ReferFormerMaskHead, head_sizes


@pytest.fixture
def given():
    torch.manual_seed(0)
    head = ReferFormerMaskHead(tiny_config(ReferFormerConfig)).eval()
    weights = 0.2 * torch.randn(2, 3, sum(head_sizes(32, 4)))
    return head, weights, torch.randn(2, 32, 5, 6), 24 * torch.rand(2, 3, 2)


def plainly(weights, features, centres):
    """One query of one frame as the paper has it: the distances as two more channels, and three 1x1 convolutions."""
    w0, w1, w2, b0, b1, b2 = weights.split(head_sizes(32, 4))
    rows, columns = (4 * torch.arange(edge) + 2.0 for edge in (5, 6))
    across = (centres[0] - columns).expand(5, 6)
    down = (centres[1] - rows)[:, None].expand(5, 6)
    channels = torch.cat([features, torch.stack([across, down])])[None]
    hidden = F.conv2d(channels, w0.view(4, 34, 1, 1), b0).relu()
    hidden = F.conv2d(hidden, w1.view(4, 4, 1, 1), b1).relu()
    return F.conv2d(hidden, w2.view(1, 4, 1, 1), b2)[0, 0]


def test_it_is_three_convolutions_for_each_query(given):
    head, weights, features, centres = given
    masks = head.masks(weights, features, centres)
    assert masks.shape == (2, 3, 5, 6)
    for frame in range(2):
        for query in range(3):
            expected = plainly(weights[frame, query], features[frame], centres[frame, query])
            torch.testing.assert_close(masks[frame, query], expected, atol=1e-4, rtol=1e-4)


def test_it_computes_in_single_precision(given):
    head, weights, features, centres = given
    half = [value.bfloat16() for value in (weights, features, centres)]
    masks = head.masks(*half)
    assert masks.dtype == torch.float32
    torch.testing.assert_close(masks, head.masks(*(value.float() for value in half)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(head.masks(weights, features, centres), head.masks(weights, features, centres).float())
        torch.testing.assert_close(head.masks(weights, features, centres).double(), masks.double(), atol=3.0, rtol=0.1)
    assert given[0].controller.layers[-1].out_features == 4 * 34 + 16 + 4 + 4 + 4 + 1
