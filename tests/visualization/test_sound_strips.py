import numpy as np
import pytest

from lavseg.visualization.sound_strips import NOW, PAST, SoundStrip, loudness, peaks


def columns(picture, color):
    """Where in a strip some colour makes more than a line."""
    return np.flatnonzero((picture[:40] == color).all(-1).sum(0) > 2)


def test_peaks_are_the_largest_values_of_any_channel():
    sound = np.zeros((2, 100))
    sound[0, 10], sound[1, 60] = -0.5, 0.25
    assert peaks(sound, 4).tolist() == [0.5, 0, 0.25, 0]
    assert peaks(sound[:, :2], 4).tolist() == [0] * 4 and peaks(sound[:, :0], 3).tolist() == [0] * 3


def test_loudness_grows_with_the_sound_and_ends_at_full_scale():
    assert loudness(np.array([[0.0, 0.01, 0.25, 1.0, 3.0]]), 5).tolist() == pytest.approx([0, 0.1, 0.5, 1, 1])


def test_sound_fills_the_strip_from_left_to_right_and_begins_anew_after_ten_seconds():
    strip, loud = SoundStrip(200, 14, fps=2), np.ones((1, 100))
    first = strip.add(loud).copy()
    assert columns(first, NOW).tolist() == list(range(10)) and not columns(first, PAST).size
    strip.add(loud * 0)
    third = strip.add(loud).copy()
    assert columns(third, PAST).tolist() == list(range(10)) and columns(third, NOW).tolist() == list(range(20, 30))
    for _ in range(17):
        last = strip.add(loud).copy()
    assert columns(last, NOW).tolist() == list(range(190, 200))
    turned = strip.add(loud)
    assert columns(turned, NOW).tolist() == list(range(10)) and not columns(turned, PAST).size
    assert turned.shape == first.shape and (turned[42:] != first[42:]).any()


@pytest.mark.parametrize("fps", [0.3, 0.04, 29.97, 240])
def test_any_rate_and_any_sound_fit(fps):
    strip = SoundStrip(64, 14, fps)
    for samples in (0, 1, 7, 1000) * 3:
        assert columns(strip.add(np.ones((2, samples))), NOW).size >= (samples > 64)
