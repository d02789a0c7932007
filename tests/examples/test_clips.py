import numpy as np

from conftest import ROOT
from lavseg.media import read_video

CLIP = ROOT / "examples" / "clips" / "band.mp4"


def test_the_shipped_clip_is_small_and_has_ten_seconds_of_pictures_and_sound():
    assert CLIP.stat().st_size < 400_000
    clip = read_video(CLIP)
    assert clip.frames.shape == (10, 216, 288, 3)
    seconds = np.array_split(clip.waveform.mean(0), 10)
    assert len(clip.waveform) == 2 and all(np.sqrt((part**2).mean()) > 0.005 for part in seconds)
    assert np.abs(clip.frames[0].astype(int) - clip.frames[-1]).mean() > 1
