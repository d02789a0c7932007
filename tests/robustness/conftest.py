import pytest
from harness import ForkServer


@pytest.fixture(scope="session")
def forked():
    """Runs commands and calls in children with limits, see `harness.ForkServer`."""
    server = ForkServer()
    yield server
    server.close()
