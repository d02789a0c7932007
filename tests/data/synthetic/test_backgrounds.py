import numpy as np
import pytest

from lavseg.data.synthetic.backgrounds import draw_background

SEEDS = range(60)


@pytest.mark.parametrize("size", [(16, 16), (20, 150), (150, 20), (60, 82)])
def test_shapes_and_types(size):
    for seed in SEEDS:
        picture = draw_background(np.random.default_rng(seed), *size)
        assert picture.shape == (*size, 3) and picture.dtype == np.uint8


def test_backgrounds_are_textured_muted_and_differ():
    drawn = np.stack([draw_background(np.random.default_rng(seed), 48, 64) for seed in SEEDS]).astype(float)
    assert drawn.min() >= 30 and drawn.max() <= 225
    color = drawn.mean((1, 2))
    assert ((color > 50) & (color < 200)).all() and np.ptp(color, axis=1).max() < 75
    contrast = drawn.mean(-1).std((1, 2))
    assert contrast.min() > 3 and contrast.max() < 45
    gaps = np.abs(color[:, None] - color).sum(-1)
    assert np.median(gaps) > 30 and (np.diff(drawn, axis=0).std((1, 2, 3)) > 4).all()


def test_the_same_seed_draws_the_same():
    first, second = (draw_background(np.random.default_rng(3), 30, 40) for _ in range(2))
    assert np.array_equal(first, second)


def test_texture_is_as_coarse_in_large_pictures_as_in_small_ones():
    """A picture of twice the size shows the same scene: averaged down, it is close to the small one."""
    for seed in range(20):
        rngs = np.random.default_rng(seed), np.random.default_rng(seed)
        small, large = draw_background(rngs[0], 48, 64), draw_background(rngs[1], 96, 128)
        tones = [picture.astype(float).mean((0, 1)) for picture in (small, large)]
        assert np.abs(tones[0] - tones[1]).max() < 25
