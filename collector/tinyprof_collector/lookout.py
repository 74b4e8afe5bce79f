"""The lookout: the watch for regressions, and the alerts on what turns critical or regresses, as one part."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tinyprof_collector.alerts.alerts import Alerts
from tinyprof_collector.alerts.webhook import Webhook
from tinyprof_collector.config import Config
from tinyprof_collector.control import Clock
from tinyprof_collector.health import Assessment
from tinyprof_collector.regressions.kept import WatchFile
from tinyprof_collector.regressions.thread import KeepsRegressions, RegressionThread
from tinyprof_collector.regressions.watch import BoardKey, Change, Watch
from tinyprof_collector.stores.store import Arrival, Store
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.presence import BoardSummary, CollectorStatus, Regression


@dataclass(frozen=True, slots=True)
class Seen:
    """What is looked at again and again: the health of each agent, and the collector's own word."""

    agents: Callable[[], Mapping[str, Assessment]]
    collector: Callable[[], CollectorStatus]


class Lookout:
    """Its methods may be called from any thread; none of them waits."""

    def __init__(self, config: Config, kept: WatchFile, stores: Iterable[Store], clock: Clock) -> None:
        """`kept` is open and stays the caller's to close."""
        self._enabled = config.regressions.enabled
        self._partitions = self._ours = frozenset(config.partitions)
        self._webhook = Webhook(config.alerts, Random()) if config.alerts.url else None
        self._alerts: Alerts | None = None
        if self._webhook is not None:
            self._alerts = Alerts(config.id, config.alerts.hold_s, self._webhook.send, clock.wall_ns)
        showing = [store for store in stores if isinstance(store, KeepsRegressions)]
        self._watch = RegressionThread(
            Watch(config.regressions), kept, showing, self._tell, clock.wall_ns, clock.monotonic_s
        )

    def start(self) -> None:
        """Starts the threads."""
        if self._enabled:
            self._watch.start()
        if self._webhook is not None:
            self._webhook.start()

    def stop(self, timeout_s: float) -> None:
        """Keeps what is known and sends what it can of what waits."""
        self._watch.stop(timeout_s / 2)
        if self._webhook is not None:
            self._webhook.stop(timeout_s / 2)

    def alive(self) -> dict[str, bool]:
        """Whether each thread that should run does."""
        running = {"regressions": self._watch.alive()} if self._enabled else {}
        return running | ({"webhook": self._webhook.alive()} if self._webhook is not None else {})

    # ---- what comes in

    def stored(self, arrivals: Iterable[Arrival]) -> None:
        """Takes records that are new to the stores."""
        if self._enabled:
            self._watch.stored(arrivals)

    def leave(self, taken: Iterable[int]) -> None:
        """Partitions that another collector has claimed: what stands there is its to tell."""
        self._ours = self._partitions - frozenset(taken)

    def forget(self, board: BoardKey) -> None:
        """A board is forgotten: it is watched anew."""
        self._watch.forget(board)

    def summary(self, summary: BoardSummary) -> None:
        """A board's summary, as it is published."""
        if self._alerts is not None:
            self._alerts.board(summary)

    def look(self, seen: Seen) -> None:
        """Looks at agents and the collector, and tells what is due; to be called every second or so."""
        if self._alerts is not None:
            self._alerts.look(seen.agents(), seen.collector())

    # ---- what is told

    def of(self, board: BoardKey) -> list[Regression]:
        """What stands for a board, newest first."""
        return self._watch.of(board) if self._enabled else []

    def standing(self) -> list[Regression]:
        """What stands for all boards, newest first."""
        if not self._enabled:
            return []
        return [one for one in self._watch.standing() if partition_of(one.node) in self._ours]

    def counters(self) -> dict[str, int]:
        """What was counted since the start, and what stands now."""
        alerts = dict(self._webhook.counts) if self._webhook is not None else {}
        if self._alerts is not None:
            alerts |= self._alerts.counters()
        return {**self._watch.counters(), **alerts} if self._enabled else alerts

    def _tell(self, change: Change) -> None:
        if self._alerts is not None:
            self._alerts.changed(change)


def open_watch_file(state_dir: Path) -> WatchFile:
    """The file that the watch is kept in."""
    return WatchFile(state_dir / "regressions.sqlite")
