"""From MQTT to lists: what is subscribed to, where each message goes, and whether anything flows at all.

The connection's thread only appends; other threads take lists. A queue that is full lets messages fall and counts
them: records come again, statuses come again within their interval, and a client asks again.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tinyprof_protocol import topics
from tinyprof_protocol.connection import Message
from tinyprof_protocol.names import PARTITIONS

MAX_QUEUED_BYTES = 64 * 1024 * 1024
MAX_STATUSES = 20_000
"""All retained statuses of a large fleet come at once after a connect."""
MAX_REQUESTS = 2_000
MAX_PROFILE_REQUESTS = 20_000
"""A client may ask for thousands of runs at once."""

MAX_PEER_STATUSES = 200

_STATUS_SLASHES = topics.collector_status().count("/")

_COLLECTORS = f"{topics.ROOT}/collector/"

Route = Literal["records", "status", "request", "own", "peer", "other"]


def subscriptions(collector: str, partitions: Sequence[int]) -> list[tuple[str, int]]:
    """Topic filters and their quality of service: its partitions, requests, other collectors."""
    chosen: Sequence[int | None] = [None] if len(set(partitions)) == PARTITIONS else sorted(set(partitions))
    filters = [topics.agent_topics_of(partition, "status") for partition in chosen]
    filters += [topics.agent_topics_of(partition, "records") for partition in chosen]
    filters.append(topics.requests(collector))
    if None not in chosen:
        # The filter for the statuses of all partitions matches those of collectors too.
        filters.append(topics.collector_status())
    return [(topic, 1) for topic in filters]


def route(topic: str, collector: str) -> Route:
    """Where a message belongs, by its topic alone. What agents say is judged later, by who takes it from its queue.

    Statuses of other collectors are `peer`; those whose id has a dot, which a node could forge, are `other`.
    """
    if topic.startswith(_COLLECTORS):
        if topic == topics.collector_status(collector):
            return "own"
        if topic.startswith(f"{topics.ROOT}/collector/{collector}/requests/"):
            return "request"
        return (
            "peer"
            if topic.endswith("/status") and topic.count("/") == _STATUS_SLASHES and "." not in topic
            else "other"
        )
    if topic.endswith("/records"):
        return "records"
    return "status" if topic.endswith("/status") else "other"


@dataclass(slots=True)
class Watchdog:
    """Decides whether a connection that is up carries nothing. Times are of a monotonic clock, in seconds."""

    patience_s: float
    _last_s: float | None = None

    def connected(self, now_s: float) -> None:
        """A connection is up, and the collector's own status was published on it."""
        self._last_s = now_s

    def lost(self) -> None:
        """The connection is gone; nothing is expected."""
        self._last_s = None

    def heard(self, now_s: float) -> None:
        """A message came. While others flow, the collector's own status may wait behind them."""
        if self._last_s is not None:
            self._last_s = now_s

    def complaint(self, now_s: float) -> str | None:
        """Why the connection should be made anew, or None."""
        if self._last_s is None or now_s - self._last_s <= self.patience_s:
            return None
        return f"connected, but not even its own status has come back for {now_s - self._last_s:.0f} s"


@dataclass(slots=True)
class BoundedQueue:
    """Messages for one taker, at most `bound` of them and 64 MiB; what is more falls and is counted."""

    bound: int
    wake: threading.Event
    dropped: int = 0
    _bytes: int = 0
    _messages: list[Message] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, message: Message) -> None:
        """Appends a message, from any thread."""
        with self._lock:
            if len(self._messages) >= self.bound or self._bytes + len(message.payload) > MAX_QUEUED_BYTES:
                self.dropped += 1
                return
            self._bytes += len(message.payload)
            self._messages.append(message)
        self.wake.set()

    def take(self) -> list[Message]:
        """All that is there, oldest first."""
        with self._lock:
            taken, self._messages, self._bytes = self._messages, [], 0
        return taken

    def __len__(self) -> int:
        return len(self._messages)


class Ingest:
    """Sorts what comes into the queues; called by the connection's thread."""

    def __init__(
        self,
        collector: str,
        put_records: Callable[[Message], object],
        watchdog: Watchdog,
        monotonic_s: Callable[[], float],
    ) -> None:
        self._collector = collector
        self._put_records = put_records
        self._watchdog = watchdog
        self._monotonic_s = monotonic_s
        self.wake = threading.Event()
        """Set when a status or a request came."""
        self.statuses = BoundedQueue(MAX_STATUSES, self.wake)
        self.requests = BoundedQueue(MAX_REQUESTS, self.wake)
        self.profile_requests = BoundedQueue(MAX_PROFILE_REQUESTS, threading.Event())
        """Those have a taker of their own, who must not wait for others."""
        self.peers = BoundedQueue(MAX_PEER_STATUSES, self.wake)
        self.others = 0
        self.left = 0
        """Messages of agents whose partition another collector has taken over."""
        self._left: frozenset[str] = frozenset()

    def leave(self, partitions: Collection[int]) -> None:
        """Takes nothing more of agents in these partitions; from any thread."""
        if len(partitions) != len(self._left):
            self._left = frozenset(f"{partition:02d}" for partition in partitions)

    def take(self, message: Message) -> None:
        """Puts a message into its queue."""
        self._watchdog.heard(self._monotonic_s())
        if self._left and not self._left.isdisjoint(message.topic.split("/", 3)[2:3]):
            self.left += 1
            return
        match route(message.topic, self._collector):
            case "records":
                self._put_records(message)
            case "status":
                self.statuses.put(message)
            case "request" if message.topic.endswith("/profile"):
                self.profile_requests.put(message)
            case "request":
                self.requests.put(message)
            case "peer":
                self.peers.put(message)
            case "other":
                self.others += 1
            case "own":
                pass

    def counters(self) -> dict[str, int]:
        """What fell or was ignored."""
        return {
            "statuses_dropped": self.statuses.dropped + self.peers.dropped,
            "requests_dropped": self.requests.dropped + self.profile_requests.dropped,
            "messages_ignored": self.others,
            "messages_left_to_others": self.left,
        }
