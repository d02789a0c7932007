import numpy as np

from lavseg.data.synthetic.drawn_struck import bell, drum


def pictures(drawing, size=100, count=6):
    return [drawing(np.random.default_rng(seed)).picture(size) for seed in range(count)]


def test_two_sticks_stand_out_above_a_drum():
    for picture in pictures(drum):
        mask = picture[..., 3] >= 128
        row = mask[5].astype(int)
        assert np.diff(row, prepend=0).clip(0).sum() == 2 and row.sum() < 40
        assert mask[-20].sum() > 80


def test_a_pale_cord_zigzags_over_the_side_of_a_drum():
    for picture in pictures(drum):
        height = picture.shape[0]
        row = picture[int(height * 0.72), 10:-10].astype(int)
        pale = row[:, :3].min(axis=1) > 190
        assert 5 <= np.diff(pale.astype(int)).clip(0).sum() <= 9


def test_bells_widen_to_the_lip_above_the_clapper():
    for picture in pictures(bell):
        mask = picture[..., 3] >= 128
        widths = mask.sum(axis=1)
        lip = widths.argmax()
        assert 0.75 * len(widths) < lip < 0.95 * len(widths)
        assert widths[len(widths) // 2] < 0.75 * widths[lip] and 0 < widths[-3] < 0.4 * widths[lip]


def test_bells_hang_from_a_ring_or_have_a_handle():
    shares = [picture.shape[1] / picture.shape[0] for picture in pictures(bell, 60, 16)]
    assert min(shares) < 0.8 < max(shares)
