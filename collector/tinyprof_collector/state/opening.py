"""Opens the state of a configuration."""

from pathlib import Path

from tinyprof_collector.config import Config
from tinyprof_collector.redis_link import CannotUseRedis, RedisLink
from tinyprof_collector.state.sqlite import SqliteState
from tinyprof_collector.state.state import State, StateFailed


def open_state(config: Config, state_dir: Path) -> State:
    """A state, ready to be loaded. Raises StateFailed.

    A file is held by one process: a second collector on the same directory fails here. So does one whose Redis gives no
    answer, before anything else speaks of that.
    """
    if config.state.use == "sqlite":
        return SqliteState(state_dir / "state.sqlite")
    from tinyprof_collector.state.redis import RedisState

    try:
        link = RedisLink(config.state)
    except CannotUseRedis as why:
        raise StateFailed(str(why)) from None
    try:
        with link.answered(StateFailed):
            link.commands.ping()
    except StateFailed:
        link.close()
        raise
    return RedisState(link, config.id, config.partitions)
