import numpy as np

from conftest import ROOT
from lavseg.media import read_video

CLIP = ROOT / "examples" / "clips" / "band.mp4"


def test_the_shipped_clip_is_small_and_has_ten_seconds_of_pictures_and_sound():
    assert CLIP.stat().st_size < 400_000
    clip = read_video(CLIP)
    assert clip.frames.shape == (10, 216, 288, 3)
    loudness = [np.sqrt((second**2).mean()) for second in np.array_split(clip.waveform.mean(0), 10)]
    assert len(clip.waveform) == 2 and max(loudness) > 0.02 and clip.waveform.shape[1] / clip.sampling_rate > 9.9
    assert np.abs(clip.frames[0].astype(int) - clip.frames[-1]).mean() > 1
