"""Commands that show their own progress keep the libraries' to themselves."""

import logging
import sys
import warnings


def silence_libraries(downloads: bool = False) -> None:
    """Switch off progress bars and messages of Transformers and the Hub's client, and warnings of libraries.

    Args:
        downloads: leave the bars of downloads, which are drawn in a terminal alone.
    """
    from huggingface_hub.utils import enable_progress_bars
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity(logging.CRITICAL)
    warnings.simplefilter("ignore")
    if downloads:
        enable_progress_bars()


def silence_data_sets() -> None:
    """Switch off progress bars of `datasets` where stderr is no terminal."""
    from datasets import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
