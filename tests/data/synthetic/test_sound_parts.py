import numpy as np
import pytest

from lavseg.data.synthetic.sound_parts import (
    SAMPLING_RATE,
    STEP,
    curve,
    look_up,
    melody,
    noise,
    place,
    scale,
    smooth,
    struck,
    turns,
    walk,
    wavetables,
)


def spectrum(sound):
    """Magnitudes for each whole hertz of a sound of one second."""
    return np.abs(np.fft.rfft(sound)) * 2 / SAMPLING_RATE


def test_a_melody_fills_the_time_between_its_pitches():
    for seed in range(20):
        notes = melody(np.random.default_rng(seed), 20000, 200, 500, 0.3, (0.5, 1.0))
        assert notes.lengths.sum() >= 20000 > notes.starts[-1]
        np.testing.assert_array_equal(notes.starts[1:], np.cumsum(notes.lengths)[:-1])
        assert not (notes.lengths % STEP).any()
        assert notes.pitches.min() >= 200 and notes.pitches.max() <= 500


def test_each_note_of_a_melody_swells_and_fades():
    notes = melody(np.random.default_rng(0), 40000, 200, 500, 0.5, (1.0,))
    swell = notes.swell(0.1, 0.05)
    first = notes.starts // STEP
    assert (swell[first] == 0).all()
    np.testing.assert_allclose(swell[first + int(0.2 * SAMPLING_RATE / STEP)], notes.loudness)
    assert (swell[first[1:] - 1] < 0.05).all()


def test_a_scale_is_a_key_of_semitones():
    pitches = scale(np.random.default_rng(3), 100, 800)
    semitones = 12 * np.log2(pitches / pitches[0])
    np.testing.assert_allclose(semitones, np.round(semitones), atol=1e-9)
    assert (np.diff(semitones) > 0).all() and pitches[0] >= 100 and pitches[-1] <= 800


@pytest.mark.parametrize("places", [1, 2, 9])
def test_a_walk_stays_within_its_places(places):
    steps = walk(np.random.default_rng(0), 500, places)
    assert set(steps) == set(range(places))
    assert np.abs(np.diff(steps)).max() <= 3


def test_a_curve_passes_through_its_points_and_holds_the_last():
    samples = curve(np.array([0.0, 1.0, 3.0]), 4 * STEP)
    np.testing.assert_allclose(samples[[0, STEP // 2, STEP, 2 * STEP, 4 * STEP - 1]], [0, 0.5, 1, 3, 3])
    assert len(curve(np.array([0.0, 1.0]), 5)) == 5


def test_smoothing_keeps_length_and_level():
    steps = np.repeat([1.0, 3.0], 100)
    smoothed = smooth(steps, 0.04)
    assert smoothed.shape == steps.shape
    np.testing.assert_allclose(smoothed[[0, -1]], [1, 3])
    assert np.diff(smoothed).max() <= 0.11


def test_wavetables_sound_at_their_pitch_with_their_harmonics():
    tables = wavetables(np.array([[1.0, 0.5], [0.2, 0.0]]))
    passed = turns(np.full(SAMPLING_RATE, 400.0))
    first, second = spectrum(look_up(tables, passed)), spectrum(look_up(tables, passed, 1))
    np.testing.assert_allclose(first[[400, 800, 1200]], [1, 0.5, 0], atol=0.01)
    np.testing.assert_allclose(second[[400, 800, 1200]], [0.2, 0, 0], atol=0.01)


def test_harmonics_of_a_struck_tone_die_away_by_themselves():
    tone = struck(300.0, 1.0, np.array([1.0, 1.0]), np.array([1.0, 12.0]))
    early, late = (np.abs(np.fft.rfft(tone[start : start + 1600])) for start in (0, 8000))
    np.testing.assert_allclose(late[30] / early[30], np.exp(-0.5), rtol=0.05)
    assert late[60] < 0.01 * early[60]
    assert abs(tone[-1]) < 0.01


def test_noise_lies_within_its_band():
    sound = noise(np.random.default_rng(0), 3 * SAMPLING_RATE, 1000, 2000)
    power = spectrum(sound[:SAMPLING_RATE]) ** 2
    assert len(sound) == 3 * SAMPLING_RATE
    np.testing.assert_allclose(np.mean(sound**2), 1, rtol=0.1)
    assert power[700:2800].sum() > 0.9 * power.sum()


def test_sounds_are_added_where_they_begin_and_cut_at_the_end():
    sound = np.ones(3, np.float32)
    np.testing.assert_array_equal(place([(0, 1, sound), (2, 2, sound), (9, 1, sound)], 4), [1, 1, 3, 2])
