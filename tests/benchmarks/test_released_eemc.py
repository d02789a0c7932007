"""Agreement of EEMC with the released code's order of operations, which a benchmark compares it with."""

import torch
from released_eemc import released_masks
from tiny.configurations import tiny_config

from lavseg.models.eemc import EemcConfig, EemcModel


@torch.no_grad()
def test_masks_are_the_released_ones():
    torch.manual_seed(0)
    # In double precision, in which no mask logit is next to zero by rounding alone.
    model = EemcModel(tiny_config(EemcConfig)).eval().double()
    for parameter in model.parameters():  # a fresh one hardly hears
        parameter.add_(0.1 * torch.randn_like(parameter))
    frames, audio, text = torch.randn(3, 3, 128, 128), torch.randn(3, 32), torch.randn(2, 5, 64)
    clip = [value.double() for value in (frames, audio, text)]
    masks = model.segment([model.embed_frames(clip[0])], [clip[1]], clip[2][None])[0]
    found = released_masks(model, *clip, (50, 60))
    expected = model.scale_masks(masks.flatten(0, 1), (50, 60)).unflatten(0, (2, 3))
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    clip[1] += 1
    assert not torch.allclose(released_masks(model, *clip, (50, 60)), expected, atol=1e-6)
