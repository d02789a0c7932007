"""What a library's error says, for messages of one line."""


def reason_of(error: BaseException) -> str:
    """The error's text as one line; its class where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
