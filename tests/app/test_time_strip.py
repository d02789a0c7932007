"""The sound and the scores over time."""

import numpy as np
import pytest

from lavseg.inference.frame_predictions import SegmentedFrame
from lavseg.media import ClipPart

gr = pytest.importorskip("gradio", reason="Gradio is not installed (extra app)")

from lavseg.app import time_strip  # noqa: E402


@pytest.mark.parametrize("seconds", [1, 7, 60])
def test_the_strip_spans_the_clip(seconds):
    scores = np.linspace(0, 1, seconds)[None]
    strip = time_strip.time_strip(np.zeros(seconds * 20), scores, ["a"], np.array([[1, 2, 3]]), 1.0)
    ticks = [float(part.split("%")[0]) for part in strip.split('<span style="left: ')[1:]]
    assert ticks == sorted(ticks) and ticks[0] == 0 and len(ticks) <= 10 and ticks[-1] < 100
    assert strip.count("<rect") == seconds and f'viewBox="0 0 {seconds} 1"' in strip and "nan" not in strip


def test_a_clip_without_sound_has_no_row_for_it():
    strip = time_strip.time_strip(np.zeros(0), np.ones((1, 3)), ["a"], np.array([[1, 2, 3]]), 1.0)
    assert "Sound" not in strip and "polygon" not in strip and strip.count("<rect") == 3


def test_peaks_are_those_of_equal_parts():
    waveform = np.zeros((2, 16000), np.float32)
    waveform[0, 100], waveform[1, 15999] = 0.25, -0.5
    loudness = time_strip.peaks(waveform)
    assert loudness.shape == (time_strip.LOUDNESS_VALUES,)
    assert loudness[0] == 0.25 and loudness[-1] == 0.5 and not loudness[1:-1].any()


def test_bars_are_the_scores_or_whether_there_is_a_mask():
    masks = np.zeros((2, 4, 4), bool)
    masks[1, 2, 2] = True
    part = ClipPart(0.0, np.zeros((4, 4, 3), np.uint8), None, None)
    scores = {"object_score_logits": np.array([1000.0, 0.0]), "iou_scores": np.array([0.9, 0.9])}
    judged = SegmentedFrame(part, masks, scores, {})
    np.testing.assert_allclose(time_strip.bar_heights(judged), [0, 0.45])
    np.testing.assert_array_equal(time_strip.bar_heights(judged), judged.score)
    np.testing.assert_array_equal(time_strip.bar_heights(SegmentedFrame(part, masks, {}, {})), [0, 1])
