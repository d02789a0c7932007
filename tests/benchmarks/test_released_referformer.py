"""Agreement of ReferFormer with the released code's order of operations, which a benchmark compares it with."""

import torch
from released_referformer import as_released, released_masks
from tiny.configurations import tiny_config

from lavseg.models.referformer import ReferFormerConfig, ReferFormerModel
from tiny_clips import away_from_zero


@torch.no_grad()
def test_masks_are_the_released_ones():
    torch.manual_seed(0)
    model = away_from_zero(ReferFormerModel(tiny_config(ReferFormerConfig))).double()
    frames, ids = torch.randn(2, 3, 64, 80).double(), torch.tensor([[5, 6, 7], [8, 9, 10]])
    expected = model(frames[None], ids[None], output_query_masks=True)
    found = released_masks(model, frames, ids, torch.ones_like(ids))
    torch.testing.assert_close(found, expected.pred_masks[0], atol=1e-5, rtol=1e-5)
    with as_released(model):
        copied = model(frames[None], ids[None], output_query_masks=True)
    torch.testing.assert_close(copied.query_masks, expected.query_masks, atol=1e-5, rtol=1e-5)
    assert model.config._attn_implementation == "sdpa" and "masks" not in vars(model.mask_head)
