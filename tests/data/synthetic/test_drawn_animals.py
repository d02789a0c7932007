import numpy as np

from lavseg.data.synthetic.drawn_animals import bird, dog


def pictures(drawing, count=12, size=100):
    return [drawing(np.random.default_rng(seed)).picture(size).astype(int) for seed in range(count)]


def stretches(line):
    return int(np.diff(line.astype(int), prepend=0).clip(0).sum())


def test_dogs_stand_on_legs_or_sit():
    standing = [stretches(picture[-15, :, 3] >= 128) == 2 for picture in pictures(dog, 30)]
    assert 0.4 < np.mean(standing) < 0.9


def test_dogs_have_a_black_nose_at_the_right_end():
    for picture in pictures(dog):
        nose = picture[:40, -8:]
        black = (nose[..., :3].max(axis=2) < 60) & (nose[..., 3] == 255)
        assert black.sum() > 15


def test_birds_stand_on_two_legs_and_end_in_a_beak():
    for picture in pictures(bird):
        mask = picture[..., 3] >= 128
        assert any(stretches(row) == 2 for row in mask[-18:-5])
        height = picture.shape[0]
        tip = np.nonzero(mask[:, -2])[0]
        assert 0.1 * height < tip.mean() < 0.5 * height and len(tip) < 12


def test_birds_have_one_bright_eye():
    for picture in pictures(bird):
        white = picture[: picture.shape[0] // 2, 55:, :3].min(axis=2) > 240
        assert 6 < white.sum() < 80
