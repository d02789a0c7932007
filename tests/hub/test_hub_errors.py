import pytest
from huggingface_hub.utils import httpx

from lavseg.hub.hub_errors import HUB_ERRORS, refusal


def answered(status):
    request = httpx.Request("POST", "http://127.0.0.1")
    return httpx.HTTPStatusError("it\n  answered", request=request, response=httpx.Response(status, request=request))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            httpx.ConnectError("no route\n  to host"),
            "the Hub cannot be reached (no route to host); this is a fault of the",
        ),
        (ConnectionError("offline mode"), "the Hub cannot be reached (offline mode); this is a fault of the network"),
        (answered(403), "the Hub did not take it (it answered); log in with `hf auth login`"),
        (answered(429), "the Hub is busy or has a fault (it answered); try again later"),
        (answered(503), "the Hub is busy or has a fault (it answered); try again later"),
    ],
)
def test_a_refusal_is_one_line_that_says_whose_fault_it_is_and_what_to_do(error, words):
    assert isinstance(error, HUB_ERRORS)
    assert str(refusal("org/name", error)).startswith(f"org/name: {words}")


def test_an_error_without_words_is_named_by_its_kind():
    assert "(ReadTimeout)" in str(refusal("org/name", httpx.ReadTimeout("")))
