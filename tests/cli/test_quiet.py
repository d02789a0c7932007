import logging as levels

import pytest
from huggingface_hub.utils import are_progress_bars_disabled
from transformers.utils import logging

from lavseg.cli.quiet import silence_libraries


@pytest.fixture
def loud():
    """Transformers with its bars and messages, as it was before afterwards."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(levels.INFO)
    logging.enable_progress_bar()
    yield
    logging.set_verbosity(level)
    if not bars:
        logging.disable_progress_bar()


def test_neither_bars_nor_warnings_are_shown(loud):
    assert logging.is_progress_bar_enabled()
    silence_libraries()
    assert not logging.is_progress_bar_enabled()
    assert not logging.get_logger("transformers.test").isEnabledFor(levels.ERROR)


def test_bars_of_downloads_are_left_where_asked_for(loud):
    silence_libraries(downloads=True)
    assert not logging.is_progress_bar_enabled() and not are_progress_bars_disabled()
    silence_libraries()
    assert are_progress_bars_disabled()
