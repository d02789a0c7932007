import numpy as np

from lavseg.data.synthetic.drawn_keys import accordion, keyboard


def grey(drawing, seed, size=200):
    picture = drawing(np.random.default_rng(seed)).picture(size).astype(float)
    return picture[..., :3].mean(axis=2) * picture[..., 3] / 255


def stretches(line):
    return int(np.diff(line.astype(int), prepend=0).clip(0).sum())


def test_black_keys_lie_in_groups_above_the_white_ones():
    for seed in range(6):
        values = grey(keyboard, seed)
        upper, lower = (values[int(values.shape[0] * y), 16:-16] for y in (0.55, 0.86))
        assert stretches(upper < 70) >= 4 and (upper < 70).mean() > 0.2
        assert (lower > 180).mean() > 0.75 and stretches(lower > 200) > stretches(upper < 70)


def test_keyboards_are_seen_from_the_front():
    for seed in range(6):
        mask = keyboard(np.random.default_rng(seed)).picture(200)[..., 3] >= 128
        assert mask[8].sum() < mask[-8].sum() - 3


def test_keys_are_left_of_the_bellows_and_buttons_right():
    for seed in range(6):
        values = grey(accordion, seed)
        middle = values[values.shape[0] // 2]
        assert (values[40:-40, 6:22] > 200).mean() > 0.3
        folds = middle[70:130]
        assert stretches(folds > folds.mean()) >= 2
        assert stretches((values[:, 150:] > 220).any(axis=1)) >= 5


def test_bellows_are_narrower_than_the_cases():
    for seed in range(6):
        mask = accordion(np.random.default_rng(seed)).picture(200)[..., 3] >= 128
        assert mask[:, 95:105].sum(axis=0).max() < mask.shape[0] * 0.98
