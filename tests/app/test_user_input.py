"""What the page takes from its users."""

import pytest

gr = pytest.importorskip("gradio", reason="Gradio is not installed (extra app)")

from lavseg.app import user_input  # noqa: E402


def test_a_message_names_the_clip_without_its_place_and_as_text():
    with pytest.raises(gr.Error) as caught, user_input.shown_errors("/tmp/a/clip <b>.mp4"):
        raise ValueError("/tmp/a/clip <b>.mp4: is <i>odd</i>")
    assert caught.value.message == "clip &lt;b&gt;.mp4: is &lt;i&gt;odd&lt;/i&gt;" and not caught.value.print_exception


def test_sentences_are_the_lines_that_say_something():
    assert user_input.split_sentences(" the dog \n\n \nthe cat") == ["the dog", "the cat"]


@pytest.mark.parametrize(("threshold", "logit"), [(0.5, 0), (0.75, 1.0986), (0.25, -1.0986)])
def test_a_probability_is_a_logit(threshold, logit):
    assert user_input.mask_logit(threshold) == pytest.approx(logit, abs=1e-4)


@pytest.mark.parametrize("threshold", [0, 1, -0.5, float("nan")])
def test_what_is_no_probability_is_refused(threshold):
    with pytest.raises(ValueError, match="give a number between 0 and 1, without these"):
        user_input.mask_logit(threshold)
