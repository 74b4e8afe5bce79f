"""Opens the place where the cache's entries outlive the collector."""

from pathlib import Path

from tinyprof_collector.cache.cache import Backing
from tinyprof_collector.cache.disk import CacheFile
from tinyprof_collector.config import Config
from tinyprof_collector.redis_link import CannotUseRedis, RedisLink
from tinyprof_collector.state.state import StateFailed


def open_backing(config: Config, state_dir: Path) -> Backing:
    """A file, or where the state is in a Redis, that: so collectors share what they know. Raises StateFailed."""
    if config.state.use == "sqlite":
        return CacheFile(state_dir / "cache.sqlite")
    from tinyprof_collector.cache.redis import SharedCache

    try:
        return SharedCache(RedisLink(config.state), config.cache.size, config.cache.ttl)
    except CannotUseRedis as why:
        raise StateFailed(str(why)) from None
