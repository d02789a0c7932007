import numpy as np
import pytest

from lavseg.data.synthetic.drawings import draw_picture

BAND = (
    *("guitar", "violin", "trumpet", "drum", "keyboard", "flute"),
    *("bell", "saxophone", "accordion", "dog", "bird", "car"),
)


def draw(category, seed=0, size=64):
    return draw_picture(category, np.random.default_rng(seed), size)


def parts(mask):
    """The number of connected components of a mask, by growing each from one pixel."""
    count = 0
    while mask.any():
        part = np.zeros_like(mask)
        part.flat[mask.argmax()] = True
        size = 0
        while part.sum() > size:
            size = part.sum()
            wide = np.pad(part, 1)
            part = mask & (part | wide[2:, 1:-1] | wide[:-2, 1:-1] | wide[1:-1, 2:] | wide[1:-1, :-2])
        mask, count = mask & ~part, count + 1
    return count


def features(category, seed):
    """Silhouette and colours of a drawing at 8 by 8, on grey."""
    picture = draw(category, seed, 32).astype(np.float64) / 255
    square = np.zeros((32, 32, 4))
    top, left = (32 - picture.shape[0]) // 2, (32 - picture.shape[1]) // 2
    square[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    square[..., :3] = (square[..., :3] - 0.5) * square[..., 3:]
    return square.reshape(8, 4, 8, 4, 4).mean(axis=(1, 3)).ravel()


@pytest.mark.parametrize("category", BAND)
@pytest.mark.parametrize("size", [8, 20, 61, 150])
def test_pictures_have_the_size_asked_for_and_are_cropped_tightly(category, size):
    picture = draw(category, size=size)
    alpha = picture[..., 3]
    assert picture.dtype == np.uint8 and picture.shape[2] == 4 and max(picture.shape[:2]) == size
    assert min(alpha[0].max(), alpha[-1].max(), alpha[:, 0].max(), alpha[:, -1].max()) > 16


@pytest.mark.parametrize("category", BAND)
def test_objects_are_one_piece_with_smooth_edges(category):
    for seed in range(5):
        alpha = draw(category, seed)[..., 3]
        assert parts(alpha >= 128) == 1
        assert (alpha >= 128).mean() > 0.18 and ((alpha > 0) & (alpha < 255)).sum() > 20
        if category != "keyboard":
            assert (alpha >= 128).mean() < 0.92


@pytest.mark.parametrize("category", BAND)
def test_calls_differ_and_equal_states_give_equal_pictures(category):
    rng = np.random.default_rng(1)
    first, second = draw_picture(category, rng, 64), draw_picture(category, rng, 64)
    assert first.shape != second.shape or np.abs(first.astype(int) - second).mean() > 2
    np.testing.assert_array_equal(first, draw(category, seed=1))


@pytest.mark.parametrize("category", BAND)
def test_larger_pictures_show_the_same_object(category):
    small, large = (draw(category, 3, size).astype(np.float64) for size in (48, 96))
    height, width = small.shape[0] - 1, small.shape[1] - 1
    assert abs(large.shape[0] - 2 * small.shape[0]) <= 2 and abs(large.shape[1] - 2 * small.shape[1]) <= 2
    halved = large[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 4).mean(axis=(1, 3))
    assert np.abs(halved - small[:height, :width])[..., 3].mean() < 20


def test_categories_are_told_apart_by_silhouette_and_colour():
    centroids = np.stack([np.mean([features(category, seed) for seed in range(10)], axis=0) for category in BAND])
    right = [
        np.linalg.norm(centroids - features(category, seed), axis=1).argmin() == index
        for index, category in enumerate(BAND)
        for seed in range(100, 108)
    ]
    assert np.mean(right) > 0.9


def test_other_categories_and_sizes_below_eight_are_named():
    with pytest.raises(ValueError, match=r"category must be one of guitar, violin, .* car, got 'harp'"):
        draw("harp")
    with pytest.raises(ValueError, match="size must be at least 8 pixels, got 7"):
        draw("dog", size=7)
