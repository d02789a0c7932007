"""What the Hub's client raises when an upload fails, in one line."""

from huggingface_hub.utils import httpx

from ..error_reasons import reason_of

HUB_ERRORS = (httpx.HTTPError, ConnectionError)
# HTTP statuses: of a Hub that is overloaded, and from which number on the fault is its own.
_BUSY, _FAULTS = 429, 500


def refusal(repo_id: str, error: Exception) -> ValueError:
    """The error to raise where one of `HUB_ERRORS` ended an upload to `repo_id`; it says whose fault that is."""
    reason = reason_of(error)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is None:
        return ValueError(
            f"{repo_id}: the Hub cannot be reached ({reason}); this is a fault of the network or of its settings, try "
            "again when the Hub answers"
        )
    if status == _BUSY or status >= _FAULTS:
        return ValueError(f"{repo_id}: the Hub is busy or has a fault ({reason}); try again later")
    return ValueError(
        f"{repo_id}: the Hub did not take it ({reason}); log in with `hf auth login` as someone who may write there"
    )
