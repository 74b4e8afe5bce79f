"""Opens the stores of a configuration, and what depends on which they are."""

import logging
from pathlib import Path

from tinyprof_collector.config import Config, StoreConfig, StoreName
from tinyprof_collector.control import Clock
from tinyprof_collector.gathering import Gathering
from tinyprof_collector.inbox import GATHER_S
from tinyprof_collector.pipeline_thread import Source
from tinyprof_collector.stores.sqlite import SqliteStore
from tinyprof_collector.stores.store import BoardLatest, Store, StoreFailed

log = logging.getLogger(__name__)


def open_store(name: StoreName, config: Config, state_dir: Path, clock: Clock) -> Store:
    """A store, ready to be written. Raises StoreFailed where it can never be.

    A server that is away or refuses us is said, and holds everything; it does not keep the collector from starting.
    """
    if name == "sqlite":
        sqlite = config.store.sqlite
        path = Path(sqlite.path).expanduser() if sqlite.path else state_dir / "store.sqlite"
        return SqliteStore(path, clock=clock.wall_ns, retention_days=sqlite.retention_days)
    try:
        from tinyprof_collector.stores.influx.influxdb import InfluxStore
    except ModuleNotFoundError as why:
        if (why.name or "").startswith("tinyprof"):
            raise
        line = f"the store influxdb needs the package {why.name}: pip install 'tinyprof[collector]'"
        raise StoreFailed(line) from None
    store = InfluxStore(config.store.influxdb, config.id, clock=clock.wall_ns, monotonic=clock.monotonic_s)
    wrong = store.check_at_start()
    if wrong is not None:
        log.error("nothing can be stored yet: %s", wrong)
    return store


def boards_before(store: Store) -> list[BoardLatest]:
    """What the store knows of the boards; nothing where it is a server that cannot be asked. Raises StoreFailed."""
    try:
        with store.read() as reader:
            return reader.latest()
    except StoreFailed as why:
        if isinstance(store, SqliteStore):
            raise
        log.error("what the boards did before is not known: %s", why)
        return []


def gather_s_of(config: StoreConfig) -> float:
    """How long the inbox gathers; not at all where `source_for` does it by a time of the user's."""
    return 0.0 if "influxdb" in config.use else GATHER_S


def source_for(config: StoreConfig, inbox: Source, clock: Clock) -> Source:
    """A store over the network is asked seldom, with much at a time."""
    wait_s = config.influxdb.max_wait_s
    gathers = "influxdb" in config.use and wait_s > 0
    return Gathering(inbox, wait_s, clock.monotonic_s) if gathers else inbox


def decodes_ahead(config: StoreConfig) -> bool:
    """Whether the next list is decoded while one is being stored: where that is waiting for a server alone."""
    return config.use == ["influxdb"]
