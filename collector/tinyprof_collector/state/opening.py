"""Opens the state of a configuration."""

from pathlib import Path

from tinyprof_collector.config import Config
from tinyprof_collector.redis_link import CannotUseRedis, RedisLink
from tinyprof_collector.state.sqlite import SqliteState
from tinyprof_collector.state.state import State, StateFailed


def open_state(config: Config, state_dir: Path) -> State:
    """A state, ready to be loaded. Raises StateFailed.

    A file is held by one process: a second collector on the same directory fails here. A Redis is asked when it is
    loaded.
    """
    if config.state.use == "sqlite":
        return SqliteState(state_dir / "state.sqlite")
    from tinyprof_collector.state.redis import RedisState

    try:
        return RedisState(RedisLink(config.state), config.id, config.partitions)
    except CannotUseRedis as why:
        raise StateFailed(str(why)) from None
