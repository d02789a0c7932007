import numpy as np
import pytest
import torch

from lavseg.backbones.vggish.feature_extraction_vggish import log_mel_patches
from lavseg.data.synthetic.sounds import PLAYERS, play

LONGEST_PAUSE = 0.3


def root_mean_square(sound, window):
    return np.sqrt(np.mean(sound[: len(sound) // window * window].reshape(-1, window).astype(float) ** 2, axis=1))


@pytest.mark.parametrize("category", PLAYERS)
def test_a_phrase_begins_at_once_and_goes_on(category):
    for seed in range(3):
        sound = play(category, np.random.default_rng(seed), 80000)
        assert sound.shape == (80000,) and sound.dtype == np.float32 and np.isfinite(sound).all()
        np.testing.assert_allclose(root_mean_square(sound, 80000), 1, rtol=1e-4)
        assert root_mean_square(sound, 16000).min() > 0.5
        heard = np.flatnonzero(root_mean_square(sound, 320) > 0.05)
        assert np.diff(heard, prepend=-1, append=250).max() * 320 / 16000 <= LONGEST_PAUSE


@pytest.mark.parametrize("category", PLAYERS)
def test_the_generator_decides_what_is_played(category):
    first, second = np.random.default_rng(1), np.random.default_rng(1)
    once, again = play(category, first, 8000), play(category, first, 8000)
    np.testing.assert_array_equal(once, play(category, second, 8000))
    assert abs(np.mean(once * again)) < 0.6


def test_short_phrases_are_as_loud():
    for category in PLAYERS:
        for num_samples in (1, 100):
            sound = play(category, np.random.default_rng(0), num_samples)
            assert sound.shape == (num_samples,) and sound.dtype == np.float32
            np.testing.assert_allclose(root_mean_square(sound, num_samples), 1, rtol=1e-4)


def test_what_cannot_be_played_is_refused():
    with pytest.raises(ValueError, match=r"^category: got 'harp', expected one of guitar, violin, .*, car\.$"):
        play("harp", np.random.default_rng(0), 16000)
    with pytest.raises(ValueError, match=r"^num_samples: got 0, expected 1 or more\.$"):
        play("bell", np.random.default_rng(0), 0)


def features(category, seed):
    """Per second of a phrase at a drawn loudness: mean, deviation and change of its log-mel bands, `[3, 192]`."""
    rng = np.random.default_rng(seed)
    sound = play(category, rng, 48000) * 10 ** rng.uniform(-1.5, -0.7)
    bands = log_mel_patches(torch.from_numpy(sound)[None].double())[:, 0]
    return torch.cat([bands.mean(1), bands.std(1), bands.diff(dim=1).abs().mean(1)], dim=1)


def test_a_second_tells_who_plays():
    """The nearest mean of other phrases, after scaling, names each kind of sound."""
    known = torch.stack([torch.cat([features(name, 100 + seed) for seed in range(5)]) for name in PLAYERS])
    asked = torch.stack([torch.cat([features(name, 200 + seed) for seed in range(3)]) for name in PLAYERS])
    mean, deviation = known.mean((0, 1)), known.std((0, 1))
    centers = ((known - mean) / deviation).mean(1)
    answers = torch.cdist((asked - mean) / deviation, centers.expand(len(PLAYERS), -1, -1)).argmin(2)
    right = (answers == torch.arange(len(PLAYERS))[:, None]).float().mean(1)
    assert right.mean() >= 0.9
    assert right.min() >= 0.6, dict(zip(PLAYERS, right.tolist(), strict=True))
