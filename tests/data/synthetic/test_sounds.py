import numpy as np
import pytest

from lavseg.data.synthetic.sounds import PLAYERS, play


@pytest.mark.parametrize("category", PLAYERS)
def test_a_phrase_goes_on_throughout(category):
    sound = play(category, np.random.default_rng(0), 160000)
    assert sound.shape == (160000,) and sound.dtype == np.float32
    assert np.isfinite(sound).all()
    np.testing.assert_allclose(np.sqrt(np.mean(sound.astype(float) ** 2)), 1, rtol=1e-3)
    assert np.sqrt(np.mean(sound.reshape(10, -1) ** 2, axis=1)).min() > 0.4
