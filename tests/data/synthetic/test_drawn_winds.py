import numpy as np

from lavseg.data.synthetic.drawn_winds import flute, saxophone, trumpet


def masks(drawing, size=100, count=6):
    return [drawing(np.random.default_rng(seed)).picture(size)[..., 3] >= 128 for seed in range(count)]


def runs(line):
    """The number of separate stretches of a mask along a line."""
    return int(np.diff(line.astype(int), prepend=0).clip(0).sum())


def test_trumpets_flare_to_the_right_and_have_three_valves():
    for mask in masks(trumpet):
        heights = mask.sum(axis=0)
        assert heights[90:96].min() > 3 * heights[1:5].max() > 0
        assert np.all(np.diff(heights[78:94]) >= 0)
        assert max(runs(row[20:62]) for row in mask[:18]) == 3


def test_flutes_are_slim_and_rise_to_the_right():
    for mask in masks(flute):
        ys, xs = np.nonzero(mask)
        spread = np.linalg.eigvalsh(np.cov(xs, ys))
        assert spread[1] > 30 * spread[0]
        assert np.corrcoef(xs, ys)[0, 1] < -0.9


def test_keys_stand_out_of_the_upper_side_of_a_flute():
    for mask in masks(flute, size=200):
        top = mask.argmax(axis=0)[80:185].astype(float)
        line = np.polyval(np.polyfit(np.arange(len(top)), top, 1), np.arange(len(top)))
        assert runs(top < line - 1) >= 3


def test_saxophones_are_open_between_the_body_and_the_bell():
    for mask in masks(saxophone):
        assert any(runs(row) == 2 for row in mask[45:60]) and runs(mask[-8]) == 1
        right = np.nonzero(mask.any(axis=0))[0][-1]
        assert 35 < mask[:, right].argmax() < 60
