"""Sound of more than two channels, mixed down to left and right."""

import math

import torch

SHARE = math.sqrt(0.5)
# What a channel gives to left and right.
LEFT, RIGHT, CENTRE, NONE = (1.0, 0.0), (0.0, 1.0), (SHARE, SHARE), (0.0, 0.0)
LEFT_BACK, RIGHT_BACK, BACK = (SHARE, 0.0), (0.0, SHARE), (0.5, 0.5)
# ITU-R BS.775 for 3.0, 4.0, 5.0, 5.1, 6.1 and 7.1, whose channels are in the order of WAV files and of FFmpeg. The
# bass channel, the fourth from 5.1 on, is left out.
MIXES = {
    3: (LEFT, RIGHT, CENTRE),
    4: (LEFT, RIGHT, CENTRE, BACK),
    5: (LEFT, RIGHT, CENTRE, LEFT_BACK, RIGHT_BACK),
    6: (LEFT, RIGHT, CENTRE, NONE, LEFT_BACK, RIGHT_BACK),
    7: (LEFT, RIGHT, CENTRE, NONE, BACK, LEFT_BACK, RIGHT_BACK),
    8: (LEFT, RIGHT, CENTRE, NONE, LEFT_BACK, RIGHT_BACK, LEFT_BACK, RIGHT_BACK),
}


def to_stereo(waveform: torch.Tensor) -> torch.Tensor:
    """Mix more than two channels down to left and right, which stay within [-1, 1]; one or two are left alone.

    Args:
        waveform: `[channels, samples]`. More than eight channels have no usual order: both sides get their mean.

    Returns:
        `[1 or 2, samples]`.
    """
    count = len(waveform)
    if count <= 2:
        return waveform
    mix = torch.tensor(MIXES.get(count, ((1.0, 1.0),) * count), dtype=waveform.dtype, device=waveform.device)
    return (mix / mix.sum(0)).T @ waveform
