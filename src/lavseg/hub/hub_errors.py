"""What the Hub's client raises when an upload fails, in one line."""

from huggingface_hub.utils import httpx

HUB_ERRORS = (httpx.HTTPError, ConnectionError)


def refusal(repo_id: str, error: Exception) -> ValueError:
    """The error to raise where one of `HUB_ERRORS` ended an upload to `repo_id`."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return ValueError(
        f"{repo_id}: the Hub did not take it ({reason}); log in with `hf auth login` as someone who may write there"
    )
