"""A real Redis, and collectors' job stores on it."""

import pytest
from redis_server import RedisServer

from tinyprof_collector.config import StateConfig
from tinyprof_collector.jobs.redis_store import RedisJobStore
from tinyprof_collector.redis_link import RedisLink
from tinyprof_collector.state.redis import RedisState


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield running
    running.stop()


@pytest.fixture
def owner(server):
    """Starts a collector's store on the Redis, which is empty at first."""
    with server.client() as client:
        client.flushall()
    closing = []

    def start(name: str = "one", partitions=range(16)) -> RedisJobStore:
        config = StateConfig("redis", server.url, timeout_s=1.0)
        state = RedisState(RedisLink(config), name, partitions)
        store = RedisJobStore(RedisLink(config), name, partitions, state)
        closing.extend((state, store))
        return store

    yield start
    for one in closing:
        one.close()
