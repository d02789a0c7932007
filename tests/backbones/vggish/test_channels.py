"""Sound of more than two channels."""

import av
import numpy as np
import pytest
import torch

from lavseg.backbones.vggish.channels import MIXES, to_stereo


@pytest.mark.parametrize(("count", "layout"), [(3, "3.0"), (4, "4.0"), (5, "5.0"), (6, "5.1"), (7, "6.1"), (8, "7.1")])
def test_the_mix_is_ffmpegs(count, layout):
    sound = np.random.default_rng(count).uniform(-1, 1, (count, 1000)).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T).reshape(1, -1), format="flt", layout=layout)
    frame.sample_rate = 16000
    (mixed,) = av.AudioResampler(format="flt", layout="stereo").resample(frame)
    mixed = mixed.to_ndarray().reshape(-1, 2).T
    ours = to_stereo(torch.from_numpy(sound).double())
    # FFmpeg lets floats go beyond 1.
    np.testing.assert_allclose(ours, mixed * (ours[0, 0] / mixed[0, 0]).item(), atol=1e-4)
    assert set(MIXES) == set(range(3, 9)) and ours.abs().max() <= 1


def test_one_or_two_channels_are_left_alone_and_many_averaged():
    sound = torch.randn(24, 50, dtype=torch.float64)
    assert to_stereo(sound[:1]).equal(sound[:1]) and to_stereo(sound[:2]).equal(sound[:2])
    torch.testing.assert_close(to_stereo(sound), sound.mean(0).expand(2, -1))
