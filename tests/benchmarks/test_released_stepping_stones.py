"""Agreement of Stepping-Stones with the released code's order of operations, which a benchmark compares it with."""

import torch
import torch.nn.functional as F
from released_stepping_stones import released_scores
from tiny.configurations import tiny_config

from lavseg.models.stepping_stones import SteppingStonesConfig, SteppingStonesModel


@torch.no_grad()
def test_scores_are_the_released_ones():
    torch.manual_seed(0)
    # In double precision, in which no mask logit is next to zero by rounding alone.
    model = SteppingStonesModel(tiny_config(SteppingStonesConfig)).eval().double()
    for parameter in model.parameters():  # a fresh one hardly hears
        parameter.add_(0.1 * torch.randn_like(parameter))
    frames, audio = torch.randn(3, 3, 128, 128).double(), torch.randn(3, 32).double()
    scores = model(frames[None], audio_embeddings=audio[None]).class_scores[0].transpose(0, 1)
    expected = F.interpolate(scores, (50, 60), mode="bilinear")
    torch.testing.assert_close(released_scores(model, frames, audio, (50, 60)), expected, atol=1e-9, rtol=1e-9)
    assert not torch.allclose(released_scores(model, frames, audio + 1, (50, 60)), expected, atol=1e-6)
