from huggingface_hub.utils import httpx

from lavseg.hub.hub_errors import HUB_ERRORS, refusal


def test_a_refusal_is_one_line_that_says_what_to_do():
    error = httpx.ConnectError("no route\n  to host")
    assert isinstance(error, HUB_ERRORS)
    said = str(refusal("org/name", error))
    assert said.startswith("org/name: the Hub did not take it (no route to host); log in with `hf auth login`")


def test_an_error_without_words_is_named_by_its_kind():
    assert "(ReadTimeout)" in str(refusal("org/name", httpx.ReadTimeout("")))
