"""Agreement of TPAVI with the released code's order of operations, which a benchmark compares it with."""

import pytest
import torch
from released_tpavi import released_model
from tiny.configurations import tiny_config
from torch import nn

from lavseg.models.tpavi import TpaviConfig, TpaviModel


@pytest.mark.parametrize("num_frames", [5, 7])
@torch.no_grad()
def test_masks_are_the_released_ones(num_frames):
    torch.manual_seed(0)
    model = TpaviModel(tiny_config(TpaviConfig, frame_size=64)).eval()
    for block in model.blocks.values():  # a fresh one mixes nothing in
        nn.init.normal_(block.batch_norm.weight)
    clip = {"pixel_values": torch.randn(1, num_frames, 3, 64, 64), "audio_embeddings": torch.rand(1, num_frames, 32)}
    masks = model(**clip).pred_masks
    released = released_model(model)
    torch.testing.assert_close(released(**clip).pred_masks, masks, atol=1e-4 * masks.abs().max().item(), rtol=0)
    clip["audio_embeddings"] += 1
    assert not torch.allclose(released(**clip).pred_masks, masks, atol=1e-2 * masks.abs().max().item())
