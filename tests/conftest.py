"""For all tests: what the shell says to `tinyprof` is not said to the tests, nor to the processes that they start.

No example of a property has a time to keep: machines are shared, and speed is for benchmarks.
"""

import os
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

FOR_TESTS = {
    "TINYPROF_FAULT_MINUTES",
    "TINYPROF_INFLUXD",
    "TINYPROF_INFLUXD1",
    "TINYPROF_MODEL_EXAMPLES",
    "TINYPROF_MODEL_SHRINK",
    "TINYPROF_TELEGRAF",
    "TINYPROF_TEST_EVERYTHING",
}
"""What tests themselves are told by the environment."""
PLAIN = {"LOG_LEVEL", "CACHE_SIZE", "CACHE_TTL", "MAX_WORKERS"}


def said_to_tinyprof(environment: Mapping[str, str]) -> set[str]:
    """The variables that the roles or the command would read."""
    return {name for name in environment if name in PLAIN or (name.startswith("TINYPROF_") and name not in FOR_TESTS)}


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_said_by_the_shell() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in said_to_tinyprof(os.environ):
            patch.delenv(name)
        yield
