"""The control thread: statuses and requests as they come, and what has to happen as time passes.

It publishes the collector's own status, summaries of boards, and what is to be said of jobs; a connection that carries
nothing it has made anew; it never waits for a store.
"""

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tinyprof_collector.ingest import Ingest, Watchdog
from tinyprof_collector.jobs.actions import Action
from tinyprof_collector.jobs.desk import JobDesk, is_for_the_desk, publications_of
from tinyprof_collector.jobs.keeper import JobKeeper
from tinyprof_collector.jobs.outbox import Outbox
from tinyprof_collector.live_state import LinkView, LiveState
from tinyprof_collector.replies import Replies, publication, reply_to_of
from tinyprof_collector.statuses import BadStatus, read_peer, read_status
from tinyprof_collector.summaries import MAX_AT_ONCE
from tinyprof_protocol import topics
from tinyprof_protocol.codec import encode
from tinyprof_protocol.connection import Connection, Message, Publication
from tinyprof_protocol.presence import AgentStatus, BoardSummary, CollectorStatus
from tinyprof_protocol.requests import Failure

log = logging.getLogger(__name__)

POLL_S = 0.1
TICK_S = 1.0
LOOK_AGAIN_S = 5.0
ROOM_S = 0.005
BUSY_FROM = 48
"""While so many messages with records wait, those and their acknowledgements come before summaries of boards."""
SUMMARIES_WHILE_BUSY = 10
"""In one round, ten of which are in a second."""
SETTLE_S = 1.0
"""After a connect the retained statuses come first; before them every agent would seem silent."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall time in ns since 1970, and a monotonic clock in seconds."""

    wall_ns: Callable[[], int]
    monotonic_s: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Duties:
    """What the control thread hands on to others."""

    note_status: Callable[[AgentStatus], None]
    quarantine: Callable[[Message, str], None]
    dead_threads: Callable[[], list[str]]
    backlog: Callable[[], int] = lambda: 0
    """Messages with records that wait."""
    look: Callable[[], None] = lambda: None
    """Called every second: whoever watches looks around."""
    told: Callable[[BoardSummary], None] = lambda _: None
    """Hears each summary that is published."""


class Every:
    """Says when an interval has passed."""

    def __init__(self, interval_s: float, now_s: float) -> None:
        self._interval_s = interval_s
        self._last_s = now_s

    def due(self, now_s: float) -> bool:
        """True once in each interval."""
        if now_s - self._last_s < self._interval_s:
            return False
        self._last_s = now_s
        return True


def status_publication(status: CollectorStatus) -> Publication:
    """A collector's status as it is published, and as its last will."""
    return Publication(topics.collector_status(status.id), encode(status), retain=True)


class Control:
    """The control thread."""

    def __init__(
        self,
        live: LiveState,
        ingest: Ingest,
        watchdog: Watchdog,
        connection: Connection,
        replies: Replies,
        jobs: JobKeeper,
        desk: JobDesk,
        outbox: Outbox,
        duties: Duties,
        clock: Clock,
        status_interval_s: float,
    ) -> None:
        self._live = live
        self._ingest = ingest
        self._watchdog = watchdog
        self._connection = connection
        self._replies = replies
        self._jobs = jobs
        self._desk = desk
        self._outbox = outbox
        self._duties = duties
        self._clock = clock
        now_s = clock.monotonic_s()
        self._status_due = Every(status_interval_s, now_s)
        self._tick_due = Every(min(TICK_S, status_interval_s), now_s)
        self._look_again_due = Every(min(LOOK_AGAIN_S, status_interval_s), now_s)
        self._settle_s = min(SETTLE_S, status_interval_s)
        self._summaries_from_s = 0.0
        self._told_health = ""
        self._stopping = threading.Event()
        self._finish_by_s = 0.0
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self.counts = {
            "statuses": 0,
            "statuses_quarantined": 0,
            "peer_statuses_ignored": 0,
            "requests": 0,
            "requests_without_reply_topic": 0,
            "watchdog_drops": 0,
            "control_errors": 0,
        }

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self, timeout_s: float) -> None:
        """Ends the thread after one last round; it publishes what summaries it can within `timeout_s`."""
        self._finish_by_s = self._clock.monotonic_s() + timeout_s
        self._stopping.set()
        self._ingest.wake.set()
        self._thread.join(timeout_s)

    def connected(self) -> None:
        """Called by the connection's thread on each connect: everything retained is published anew."""
        self._tell_status()
        self._summaries_from_s = self._clock.monotonic_s() + self._settle_s
        self._watchdog.connected(self._clock.monotonic_s())
        self._live.connected()
        self._ingest.wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._ingest.wake.wait(POLL_S)
            self._ingest.wake.clear()
            self.round()
        self.round()
        while self._has_more_to_tell():
            self._ingest.wake.clear()
            self._ingest.wake.wait(ROOM_S)  # the connection holds only so many at once
            self.round()

    def _has_more_to_tell(self) -> bool:
        in_time = self._clock.monotonic_s() < self._finish_by_s
        return in_time and self._connection.state.connected and self._live.summaries_waiting() > 0

    def round(self) -> None:
        """Does once all that is due; the thread does it again and again. A step that fails is logged and counted."""
        for step in (
            self._take_statuses,
            self._take_peers,
            self._take_requests,
            self._time_passes,
            self._publish_summaries,
        ):
            try:
                step()
            except Exception:
                self.counts["control_errors"] += 1
                log.exception("the control thread failed at %s", step.__name__.strip("_"))

    def _take_statuses(self) -> None:
        for message in self._ingest.statuses.take():
            if not message.payload:
                continue  # a retained status that somebody cleared
            try:
                status = read_status(message)
            except BadStatus as why:
                self.counts["statuses_quarantined"] += 1
                self._duties.quarantine(message, str(why))
                continue
            self.counts["statuses"] += 1
            self._duties.note_status(status)
            if self._live.hear(status, self._clock.wall_ns(), retained=message.retain):
                self._do(self._jobs.status(status, self._clock.wall_ns()))

    def _take_peers(self) -> None:
        for message in self._ingest.peers.take():
            if not message.payload:
                continue  # a retained status that somebody cleared
            try:
                status = read_peer(message)
            except BadStatus as why:
                self.counts["peer_statuses_ignored"] += 1
                log.warning("%s", why)
                continue
            self._live.hear_peer(status, self._clock.wall_ns(), retained=message.retain)

    def _take_requests(self) -> None:
        for message in self._ingest.requests.take():
            to = reply_to_of(message)
            if to is None:
                self.counts["requests_without_reply_topic"] += 1
                continue
            self.counts["requests"] += 1
            taken = self._desk if is_for_the_desk(message.topic) else self._replies
            if not taken.submit(message, to):
                busy = Failure("busy", "the collector has too many requests waiting; ask again later")
                self._connection.publish(publication(to, busy))

    def _time_passes(self) -> None:
        now_s = self._clock.monotonic_s()
        if self._tick_due.due(now_s):
            self._tick()
        if self._look_again_due.due(now_s):
            self._live.look_again()
        if self._status_due.due(now_s):
            self._tell_status()
        complaint = self._watchdog.complaint(now_s)
        if complaint is not None:
            self.counts["watchdog_drops"] += 1
            self._watchdog.lost()
            log.warning("%s; connecting anew", complaint)
            self._connection.drop(complaint)

    def _tick(self) -> None:
        state = self._connection.state
        self._live.note_link(
            LinkView(
                state.connected,
                state.clash,
                state.counts.get("subscriptions_refused", 0),
                tuple(self._duties.dead_threads()),
            )
        )
        self._do(self._jobs.tick(self._clock.wall_ns()))
        self._duties.look()
        if self._live.collector_status(self._clock.wall_ns()).health != self._told_health:
            self._tell_status()

    def _tell_status(self) -> None:
        status = self._live.collector_status(self._clock.wall_ns())
        if self._connection.publish(status_publication(status)) is not None:
            self._told_health = status.health

    def _publish_summaries(self) -> None:
        if not self._connection.state.connected:
            return
        # The last round is not held back by what was published a moment ago.
        now_s = math.inf if self._stopping.is_set() else self._clock.monotonic_s()
        if now_s < self._summaries_from_s:
            return
        forgotten = self._live.to_clear()
        for number, (node, board) in enumerate(forgotten):
            if self._connection.publish(Publication(topics.fleet(node, board), b"", retain=True)) is None:
                self._live.uncleared(forgotten[number:])
                return
        busy = self._duties.backlog() >= BUSY_FROM and not self._stopping.is_set()
        due = self._live.due_summaries(self._clock.wall_ns(), now_s, SUMMARIES_WHILE_BUSY if busy else MAX_AT_ONCE)
        for number, summary in enumerate(due):
            # Small and many: to deflate one takes as long as all the rest of it.
            payload = encode(summary, compress=False)
            sent = Publication(topics.fleet(summary.node, summary.board), payload, retain=True)
            if self._connection.publish(sent) is None:
                self._live.unpublished(due[number:])
                return
            self._duties.told(summary)

    def _do(self, actions: list[Action]) -> None:
        self._outbox.put(publications_of(actions))
