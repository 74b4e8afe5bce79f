"""Collectors' job stores on a real Redis."""

import pytest

from tinyprof_collector.config import StateConfig
from tinyprof_collector.jobs.redis_store import RedisJobStore
from tinyprof_collector.redis_link import RedisLink
from tinyprof_collector.state.redis import RedisState


@pytest.fixture
def owner(clean):
    """Starts a collector's store on the Redis, which is empty at first."""
    closing = []

    def start(name: str = "one", partitions=range(16)) -> RedisJobStore:
        config = StateConfig("redis", clean.url, timeout_s=1.0)
        state = RedisState(RedisLink(config), name, partitions)
        store = RedisJobStore(RedisLink(config), name, partitions, state)
        closing.extend((state, store))
        return store

    yield start
    for one in closing:
        one.close()
