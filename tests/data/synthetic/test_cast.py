import numpy as np
import pytest

from lavseg.data.classes import CLASSES
from lavseg.data.synthetic.cast import BAND, DRAWN_BAND, INSTRUMENTS, SEEN, UNSEEN


def test_the_band_is_of_avsbench_and_names_the_unseen_last():
    assert len(set(BAND)) == 12 and set(BAND) <= set(CLASSES) and set(INSTRUMENTS) < set(BAND)
    assert DRAWN_BAND.categories == (*SEEN, *UNSEEN) and set(DRAWN_BAND.categories) == set(BAND)
    assert DRAWN_BAND.unseen == UNSEEN and set(UNSEEN) & set(INSTRUMENTS) and set(UNSEEN) - set(INSTRUMENTS)


@pytest.mark.parametrize("category", BAND)
def test_pictures_and_sounds(category):
    picture = DRAWN_BAND.picture(category, 0.5, np.random.default_rng(0), 40)
    assert picture.dtype == np.uint8 and picture.shape[2] == 4 and max(picture.shape) == 40
    assert 0.04 < (picture[..., 3] >= 128).mean() < 1
    sound = DRAWN_BAND.sound(category, 0.5, np.random.default_rng(0), 16000)
    assert sound.dtype == np.float32 and sound.shape == (16000,)
    assert np.sqrt(np.square(sound).mean()) == pytest.approx(1, abs=0.01)


def test_backgrounds():
    assert DRAWN_BAND.background(np.random.default_rng(0), 20, 30).shape == (20, 30, 3)
