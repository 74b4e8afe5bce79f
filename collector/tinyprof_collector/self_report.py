"""What the collector says of itself over HTTP: whether it lives, whether it is ready, its counters and gauges."""

from collections.abc import Mapping
from dataclasses import dataclass

from tinyprof_collector.control import Clock, Control
from tinyprof_collector.endpoints import Gauge, Probes
from tinyprof_collector.inbox import Inbox
from tinyprof_collector.ingest import Ingest
from tinyprof_collector.jobs.desk import JobDesk
from tinyprof_collector.jobs.keeper import JobKeeper
from tinyprof_collector.jobs.outbox import Outbox
from tinyprof_collector.jobs.sharing import JobSharing
from tinyprof_collector.live_state import LiveState
from tinyprof_collector.lookout import Lookout
from tinyprof_collector.pipeline_thread import PipelineThread
from tinyprof_collector.profile_requests import ProfileRequests
from tinyprof_collector.replies import Replies
from tinyprof_protocol.connection import Connection

_GAUGES = ("quarantine_kept", "regressions_standing", "cache_entries", "jobs_queued", "jobs_running", "jobs_kept")


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that are asked."""

    live: LiveState
    ingest: Ingest
    inbox: Inbox
    connection: Connection
    pipeline: PipelineThread
    control: Control
    replies: Replies
    profile_requests: ProfileRequests
    jobs: JobKeeper
    desk: JobDesk
    lookout: Lookout
    outbox: Outbox
    sharing: JobSharing


class SelfReport:
    """Asks the parts when somebody asks it."""

    def __init__(self, parts: Parts, clock: Clock) -> None:
        self._parts = parts
        self._clock = clock

    def probes(self) -> Probes:
        """What the endpoints serve."""
        return Probes(self.alive, self.ready, self.counters, self.gauges)

    def alive(self) -> dict[str, str]:
        """Each thread and what is wrong with it; empty where nothing is."""
        running = {
            "pipeline": self._parts.pipeline.alive(),
            "control": self._parts.control.alive(),
            "profile-requests": self._parts.profile_requests.alive(),
            "jobs": self._parts.desk.alive(),
            **self._parts.lookout.alive(),
            "jobs-out": self._parts.outbox.alive(),
            **self._parts.sharing.alive(),
        }
        checks = {name: "" if alive else "its thread has ended" for name, alive in running.items()}
        dead = [*self._parts.replies.dead_threads(), *(["mqtt"] if self._parts.connection.died() else [])]
        return {**checks, **dict.fromkeys(dead, "its thread has ended")}

    def ready(self) -> dict[str, str]:
        """Threads, stores, state and broker, each with what is wrong with it; empty where nothing is."""
        view = self._parts.live.view()
        link = self._parts.connection.state
        broker = "" if link.connected else link.error or "not connected"
        stores = {f"store {name}": why for name, why in view.stores.items()} or {"store": "not asked yet"}
        kept = {"state": view.state_error, "jobs file": self._parts.jobs.check()}
        return {**self.alive(), **stores, **kept, "broker": broker}

    def counters(self) -> dict[str, int]:
        """All that is counted, by name."""
        parts = self._parts
        link = {f"mqtt_{name}": count for name, count in dict(parts.connection.state.counts).items()}
        # What goes down too is a gauge.
        live = {name: count for name, count in parts.live.counters().items() if name not in _GAUGES}
        return {
            **live,
            **parts.ingest.counters(),
            **parts.control.counts,
            **parts.pipeline.counts,
            **parts.replies.counters(),
            **parts.profile_requests.counts,
            **parts.desk.counts,
            **parts.outbox.counts,
            **parts.sharing.counts,
            **link,
        }

    def gauges(self) -> list[Gauge]:
        """Agents and boards by health, the ledger by class, and what waits."""
        agents, boards = self._parts.live.healths(self._clock.wall_ns())
        view, counted = self._parts.live.view(), self._parts.live.counters()
        up = {name: float(not why) for name, why in view.stores.items()}
        return [
            Gauge("connected", "1 while connected to the broker.", {"": float(self._parts.connection.state.connected)}),
            Gauge("store_up", "1 while the store takes records.", up, "store"),
            Gauge("agents", "Agents by health.", _floats(agents), "health"),
            Gauge("boards", "Boards by health.", _floats(boards), "health"),
            Gauge("ledger", "Records by class.", _floats(view.totals), "class"),
            Gauge("quarantined", "Items in the quarantine.", {"": float(view.counters.get("quarantine_kept", 0))}),
            Gauge(
                "regressions",
                "Changes for the worse that stand.",
                {"": float(counted.get("regressions_standing", 0))},
            ),
            Gauge("cache_entries", "Results in the cache.", {"": float(counted.get("cache_entries", 0))}),
            Gauge(
                "jobs",
                "Jobs that wait for a board, that are with one, and that are kept.",
                _jobs(self._parts.jobs),
                "state",
            ),
            Gauge("inbox_batches", "Batches that wait to be stored.", {"": float(len(self._parts.inbox))}),
        ]


def _floats(counts: Mapping[str, int]) -> dict[str, float]:
    return {name: float(count) for name, count in counts.items()}


def _jobs(jobs: JobKeeper) -> dict[str, float]:
    return {name.removeprefix("jobs_"): float(count) for name, count in jobs.gauges().items()}
