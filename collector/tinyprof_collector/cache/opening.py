"""Opens the place where the cache's entries outlive the collector."""

from pathlib import Path
from typing import Final

from msgspec.structs import replace

from tinyprof_collector.cache.cache import Backing
from tinyprof_collector.cache.disk import CacheFile
from tinyprof_collector.config import Config
from tinyprof_collector.redis_link import CannotUseRedis, RedisLink
from tinyprof_collector.state.state import StateFailed

TIMEOUT_S: Final = 1.0
"""Nobody waits long for a cache."""


def open_backing(config: Config, state_dir: Path) -> Backing:
    """A file, or where the state is in a Redis, that: so collectors share what they know. Raises StateFailed."""
    if config.state.use == "sqlite":
        return CacheFile(state_dir / "cache.sqlite")
    from tinyprof_collector.cache.redis import SharedCache

    try:
        patient_for_s = min(config.state.timeout_s, TIMEOUT_S)
        return SharedCache(
            RedisLink(replace(config.state, timeout_s=patient_for_s)), config.cache.size, config.cache.ttl
        )
    except CannotUseRedis as why:
        raise StateFailed(str(why)) from None
