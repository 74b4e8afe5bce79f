"""What a collector opens at its start and closes at its end: stores, state, quarantine and the files of its own."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from tinyprof_collector.cache.cache import Backing
from tinyprof_collector.cache.opening import open_backing
from tinyprof_collector.config import Config
from tinyprof_collector.control import Clock
from tinyprof_collector.forgotten import Forgotten
from tinyprof_collector.jobs.opening import open_jobs
from tinyprof_collector.jobs.store import JobStore
from tinyprof_collector.lookout import open_watch_file
from tinyprof_collector.quarantine import Quarantine
from tinyprof_collector.regressions.kept import WatchFile
from tinyprof_collector.state.opening import open_state
from tinyprof_collector.state.state import State
from tinyprof_collector.stores.opening import open_store
from tinyprof_collector.stores.store import Store


@dataclass(frozen=True, slots=True)
class Opened:
    """All of it, open."""

    stores: list[Store]
    """As configured; the first is the one that answers read."""
    state: State
    quarantine: Quarantine
    cache_backing: Backing
    jobs: JobStore
    watch: WatchFile
    forgotten: Forgotten


def open_all(config: Config, state_dir: Path, clock: Clock, closing: contextlib.ExitStack) -> Opened:
    """Opens all that the configuration names; `closing` closes it, also where this raises what one of them raises."""
    state_dir.mkdir(parents=True, exist_ok=True)
    state = open_state(config, state_dir)
    closing.callback(state.close)
    quarantine = Quarantine(state_dir / "quarantine.sqlite")
    closing.callback(quarantine.close)
    cache_backing = open_backing(config, state_dir)
    closing.callback(cache_backing.close)
    jobs = open_jobs(config, state, state_dir)
    closing.callback(jobs.close)
    watch = open_watch_file(state_dir)
    closing.callback(watch.close)
    forgotten = Forgotten(state_dir / "forgotten.json")
    stores: list[Store] = []
    for name in config.store.use:
        store = open_store(name, config, state_dir, clock)
        closing.callback(store.close)
        stores.append(store)
    return Opened(stores, state, quarantine, cache_backing, jobs, watch, forgotten)
