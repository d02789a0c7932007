"""Commands that show their own progress keep the libraries' to themselves."""


def silence_libraries() -> None:
    """Switch off progress bars and messages of Transformers and the Hub's client."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity(logging.CRITICAL)
