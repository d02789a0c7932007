"""How far masks can be trusted, as a number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lavseg.inference.confidence import clip_scores, frame_scores

NAMES = ("presence_logit", "object_score_logits", "iou_scores")
SHAPE = (2, 5)
NUMBERS = arrays(np.float64, SHAPE, elements=st.floats(-2000, 2000))
GIVEN = st.dictionaries(st.sampled_from(NAMES), NUMBERS, min_size=1)
SHOWN = arrays(bool, SHAPE)


@settings(deadline=None)
@given(GIVEN, SHOWN)
def test_scores_are_from_0_to_1_and_0_for_an_empty_mask(scores, shown):
    of_frames = frame_scores(scores, shown)
    of_clip = clip_scores(of_frames, shown)
    assert of_frames.shape == SHAPE and of_frames.dtype == of_clip.dtype == np.float64
    for found in (of_frames, of_clip):
        assert (found >= 0).all() and (found <= 1).all()
    assert not of_frames[~shown].any() and not of_clip[~shown.any(1)].any()


@settings(deadline=None)
@given(GIVEN, SHOWN, st.sampled_from(NAMES), st.floats(0, 50))
def test_a_model_that_is_surer_scores_no_lower(scores, shown, name, more):
    surer = {**scores, name: scores[name] + more} if name in scores else scores
    assert (frame_scores(surer, shown) >= frame_scores(scores, shown) - 1e-12).all()


@settings(deadline=None)
@given(GIVEN, SHOWN)
def test_frames_one_by_one_are_those_of_the_clip(scores, shown):
    one_by_one = [
        frame_scores({name: values[:, frame] for name, values in scores.items()}, shown[:, frame]) for frame in range(5)
    ]
    np.testing.assert_allclose(np.stack(one_by_one, axis=1), frame_scores(scores, shown), rtol=1e-12)


@settings(deadline=None)
@given(GIVEN, SHOWN)
def test_frames_without_a_mask_do_not_change_the_clips_score(scores, shown):
    of_frames = frame_scores(scores, shown)
    longer = np.concatenate([of_frames, np.ones(SHAPE)], axis=1), np.concatenate([shown, np.zeros(SHAPE, bool)], axis=1)
    np.testing.assert_allclose(clip_scores(*longer), clip_scores(of_frames, shown))


def test_the_formula_by_hand():
    scores = {
        "presence_logit": np.full((1, 3), np.log(4)),  # 0.8
        "object_score_logits": np.log([[1.0, 3.0, 1e9]]),  # 0.5, 0.75, 1
        "iou_scores": np.array([[0.5, 1.2, 0.9]]),
    }
    shown = np.array([[True, True, False]])
    of_frames = frame_scores(scores, shown)
    np.testing.assert_allclose(of_frames, [[0.8 * 0.5 * 0.5, 0.8 * 0.75, 0]])
    # The presence counts once, however many frames there are.
    np.testing.assert_allclose(clip_scores(of_frames, shown), [0.8 * (0.25 + 0.75) / 2])


@pytest.mark.parametrize("name", NAMES[:2])
def test_near_0_where_the_object_is_judged_absent(name):
    """Also where a method draws its mask all the same."""
    scores = {name: np.array([[-10.0, 10.0]]), "iou_scores": np.array([[0.9, 0.9]])}
    found = frame_scores(scores, np.ones((1, 2), bool))[0]
    assert found[0] < 1e-4 and found[1] == pytest.approx(0.9, abs=1e-4)


def test_what_a_method_does_not_give_is_left_out():
    shown = np.array([[True, False]])
    alone = frame_scores({"iou_scores": np.array([[0.7, 0.7]]), "area_fractions": np.zeros((1, 2))}, shown)
    np.testing.assert_array_equal(alone, [[0.7, 0]])
    assert frame_scores({"area_fractions": np.ones((1, 2))}, shown) is None
