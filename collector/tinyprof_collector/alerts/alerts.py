"""Alerts as the collector's threads see them: healths and changes in, payloads to the webhook out."""

import threading
from collections.abc import Callable, Mapping

from tinyprof_collector.alerts.alarms import Alarms, Alert, Subject
from tinyprof_collector.alerts.payload import payload_of
from tinyprof_collector.health import Assessment
from tinyprof_collector.regressions.watch import Change
from tinyprof_protocol.presence import BoardSummary, CollectorStatus


class Alerts:
    """Decides under a lock of its own what is told. `send` takes a payload and never waits."""

    def __init__(
        self, collector: str, hold_s: float, send: Callable[[bytes], None], wall_ns: Callable[[], int]
    ) -> None:
        self._collector = collector
        self._send = send
        self._wall_ns = wall_ns
        self._lock = threading.Lock()
        self._alarms = Alarms(int(hold_s * 1e9))

    def board(self, summary: BoardSummary) -> None:
        """A board's summary, as it is published."""
        with self._lock:
            subject = Subject("board", summary.node, summary.board)
            self._alarms.note(subject, summary.health, summary.reasons, self._wall_ns())

    def look(self, agents: Mapping[str, Assessment], collector: CollectorStatus) -> None:
        """Agents and the collector itself as they are now; what is due is sent."""
        now_ns = self._wall_ns()
        with self._lock:
            for node, found in agents.items():
                self._alarms.note(Subject("agent", node), found.health, found.reasons, now_ns)
            self._alarms.note(Subject("collector", name=collector.id), collector.health, collector.reasons, now_ns)
            due = self._alarms.due(now_ns)
        for alert in due:
            self._send(payload_of(alert, self._collector))

    def counters(self) -> dict[str, int]:
        """alarms_over_bound: words of a critical subject that there was no room for."""
        return {"alarms_over_bound": self._alarms.over_bound}

    def changed(self, change: Change) -> None:
        """A change of a board's level; a change for the better is no alert."""
        one = change.regression
        if not one.worse:
            return
        kind = "regressed" if change.kind == "found" else "regression_ended"
        reasons = [change.why] if change.why else []
        if change.kind == "found" and one.new_build:
            reasons = [f"since {one.new_build}"]
        alert = Alert(kind, Subject("board", one.node, one.board), self._wall_ns(), "", reasons, one)  # type: ignore[arg-type]
        self._send(payload_of(alert, self._collector))
