import logging as levels

import pytest
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
