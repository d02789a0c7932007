import numpy as np

from lavseg.data.synthetic.drawn_car import GLASS, car


def pictures(count=8):
    return [car(np.random.default_rng(seed)).picture(120).astype(int) for seed in range(count)]


def test_cars_stand_on_two_dark_wheels():
    for picture in pictures():
        row = picture[-4]
        mask = row[:, 3] >= 128
        assert np.diff(mask.astype(int), prepend=0).clip(0).sum() == 2
        assert row[mask][:, :3].max() < 90


def test_cars_have_two_windows_in_their_upper_half():
    for picture in pictures():
        glass = np.abs(picture[..., :3] - GLASS).max(axis=2) < 12
        assert glass[: picture.shape[0] // 2].sum() > 0.95 * glass.sum() > 100
        across = glass[int(picture.shape[0] * 0.3)]
        assert np.diff(across.astype(int)).clip(0).sum() >= 2


def test_cars_differ_in_their_shape():
    roofs = {int((picture[3, :, 3] >= 128).sum()) // 12 for picture in pictures(16)}
    assert len(roofs) >= 3
