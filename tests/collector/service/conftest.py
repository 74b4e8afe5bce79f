import pytest

from tinyprof.embedded_broker import EmbeddedBroker


@pytest.fixture
def broker():
    with EmbeddedBroker() as running:
        yield running
