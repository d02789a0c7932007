import numpy as np

from lavseg.data.synthetic.drawn_strings import guitar, violin


def widths(alpha, rows):
    return (alpha >= 128)[rows].sum(axis=1)


def test_guitars_have_a_slim_neck_above_a_wide_body_with_a_waist():
    for seed in range(8):
        alpha = guitar(np.random.default_rng(seed)).picture(100)[..., 3]
        neck, upper, lower = (widths(alpha, slice(*rows)) for rows in ((20, 38), (50, 62), (74, 90)))
        assert neck.max() < 0.35 * upper.max() and upper.max() < lower.max()
        assert widths(alpha, slice(60, 74)).min() < lower.max()


def test_acoustic_and_electric_guitars_occur():
    dark = []
    for seed in range(20):
        picture = guitar(np.random.default_rng(seed)).picture(100)
        middle = picture.shape[1] // 2
        hole = picture[57:70, middle - 6 : middle + 6, :3].astype(int).sum(axis=2) < 200
        dark.append(hole.mean() > 0.25)
    assert 0.3 < np.mean(dark) < 0.95


def test_violins_have_their_bow_across_or_beside():
    shares = [np.divide(*violin(np.random.default_rng(seed)).picture(80).shape[1::-1]) for seed in range(20)]
    assert min(shares) < 0.62 and max(shares) > 0.7


def test_the_hair_of_the_bow_is_the_palest_part_of_a_violin():
    for seed in range(6):
        picture = violin(np.random.default_rng(seed)).picture(120).astype(int)
        pale = (picture[..., :3].min(axis=2) > 200) & (picture[..., 3] == 255)
        ys, xs = np.nonzero(pale)
        assert np.hypot(np.ptp(ys), np.ptp(xs)) > 50
