"""What reading and writing refuse alike."""

import warnings

import pytest

from lavseg.media.errors import MediaError, MediaWarning, caught_warnings, check_fps


@pytest.mark.parametrize("fps", [0, -1, 0.0009, 1001, float("nan"), "1", None])
def test_rates_that_are_none(fps):
    with pytest.raises(ValueError, match=r"^fps is .*; give a number from 0\.001 to 1000$") as caught:
        check_fps(fps)
    assert not isinstance(caught.value, MediaError)


@pytest.mark.parametrize("fps", [0.001, 1, 29.97, 1000])
def test_rates(fps):
    check_fps(fps)


def test_warnings_about_clips_are_caught_and_others_dropped(recwarn):
    with caught_warnings() as caught:
        warnings.warn("a.mp4: is silent", MediaWarning, stacklevel=1)
        warnings.warn("is deprecated", UserWarning, stacklevel=1)
    assert [str(one.message) for one in caught] == ["a.mp4: is silent"] and not recwarn.list
