"""Opens the place where jobs outlive the collector."""

from pathlib import Path

from tinyprof_collector.config import Config
from tinyprof_collector.jobs.sqlite_store import SqliteJobStore
from tinyprof_collector.jobs.store import JobStore, JobStoreFailed
from tinyprof_collector.redis_link import CannotUseRedis, RedisLink
from tinyprof_collector.state.state import SharedState, State


def open_jobs(config: Config, state: State, state_dir: Path) -> JobStore:
    """A file, or where the state is in a Redis, that. Raises JobStoreFailed."""
    if not isinstance(state, SharedState):
        return SqliteJobStore(state_dir / "jobs.sqlite")
    from tinyprof_collector.jobs.redis_store import RedisJobStore

    try:
        return RedisJobStore(RedisLink(config.state), config.id, config.partitions, state)
    except CannotUseRedis as why:
        raise JobStoreFailed(str(why)) from None
