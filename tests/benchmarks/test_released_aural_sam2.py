"""Agreement of AuralSAM2 with the released code's order of operations over the original `sam2` package."""

import pytest
import torch
from torch import nn

from lavseg.backbones.sam2.configuration_sam2 import hiera_sam2_config
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model

pytest.importorskip("sam2", reason="the original sam2 package is not installed")
from released_aural_sam2 import ReleasedAuralSam2

CASES = [
    ("tiny", 128, 9, 0),  # more frames than are remembered
    ("tiny", 256, 3, 1),
    ("base_plus", 512, 3, 2),
]


@pytest.mark.slow
@pytest.mark.parametrize(("host", "image_size", "num_frames", "seed"), CASES)
def test_masks_are_the_released_ones(host, image_size, num_frames, seed):
    torch.manual_seed(seed)
    released = ReleasedAuralSam2(host, image_size)
    with torch.no_grad():
        for parameter in released.host.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        for module in released.fuser.modules():  # fresh weights would hide the fusion behind zeros
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm3d):
                nn.init.normal_(module.weight)
    frames, sounds = torch.randn(num_frames, 3, image_size, image_size), torch.randn(num_frames, 2, 96, 64)
    with torch.no_grad():  # object scores of both signs
        head = released.host.sam_mask_decoder.pred_obj_score_head.layers[-1]
        head.bias.sub_(released(frames, sounds)[2].median())
    config = AuralSam2Config(sam2_config=hiera_sam2_config(host, image_size), use_text=False, behavior="release")
    ours = AuralSam2Model(config).eval()
    ours.load_state_dict(released.state_of_ours())
    with torch.no_grad():
        masks, ious, scores = released(frames, sounds)
        output = ours(pixel_values=frames[None], input_features=sounds[None])
    best = ious.argmax(-1)
    torch.testing.assert_close(output.pred_masks[0, 0], masks[torch.arange(num_frames), best], atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(output.iou_scores[0, 0], ious.amax(-1), atol=1e-4, rtol=0)
    torch.testing.assert_close(output.object_score_logits[0, 0], scores, atol=1e-4, rtol=1e-4)
    assert masks.std() > 0.1
    assert scores.min() < 0 < scores.max()
