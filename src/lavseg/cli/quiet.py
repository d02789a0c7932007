"""Commands that show their own progress keep the libraries' to themselves."""


def silence_libraries() -> None:
    """Switch off progress bars and messages of Transformers and the Hub's client."""
    from huggingface_hub.utils import disable_progress_bars
    from transformers.utils import logging

    disable_progress_bars()
    logging.disable_progress_bar()
    logging.set_verbosity(logging.CRITICAL)
