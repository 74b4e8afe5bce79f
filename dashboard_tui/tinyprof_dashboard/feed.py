"""MQTT to events: messages are decoded in the connection's own thread and kept until the screen asks for them.

Every topic here carries a latest value, so what waits is one event a topic: a screen that is slow falls behind in
nothing but intermediate values, and the buffer is as small as the fleet.
"""

import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from tinyprof_dashboard.events import (
    AgentGone,
    AgentSeen,
    BoardGone,
    BoardSeen,
    Came,
    CollectorGone,
    CollectorSeen,
    Event,
    HistoryCame,
    LinkChanged,
    MessagesRefused,
    Parts,
    ProgressSeen,
    RetainedComplete,
)
from tinyprof_dashboard.progress_feed import ProgressFeed
from tinyprof_protocol import topics
from tinyprof_protocol.broker_address import BrokerAddress
from tinyprof_protocol.codec import BadMessage, decode, encode
from tinyprof_protocol.connection import Connection, Hooks, LinkState, Message, Publication
from tinyprof_protocol.jobs import JobsReply, JobsRequest
from tinyprof_protocol.presence import AgentStatus, BoardSummary, CollectorStatus
from tinyprof_protocol.request_reply import RequestFailed, decode_reply
from tinyprof_protocol.requests import HistoryReply, HistoryRequest, LedgerReply, LedgerRequest, RequestKind
from tinyprof_protocol.topics import BadTopic, Topic

QUIET_S = 0.3
LONGEST_READ_S = 5.0
MAX_TOPICS = 100_000
MAX_ASKED = 128
"""A request to each of 64 collectors, and as many that were not answered."""
REQUEST_EXPIRY_S = 10
_FIRST_ERROR = LinkState().error
_PARTS: Final[Mapping[Parts, tuple[RequestKind, type[LedgerReply] | type[JobsReply]]]] = {
    "ledgers": ("ledger", LedgerReply),
    "jobs": ("jobs", JobsReply),
}
"""How each is asked for, and what answers."""


def event_of(message: Message) -> Event:
    """What a message says. Raises BadTopic or BadMessage; a message that lies about its sender is a BadMessage."""
    topic = topics.parse(message.topic)
    match topic.kind:
        case "fleet":
            return _board(topic, message)
        case "status":
            return _agent(topic, message)
        case "collector":
            return _collector(topic, message)
    raise BadTopic(f"{message.topic!r} is not for a dashboard")


def _board(topic: Topic, message: Message) -> Event:
    if not message.payload:
        return BoardGone((topic.node, topic.board))
    summary = decode(message.payload, BoardSummary)
    if (summary.node, summary.board) != (topic.node, topic.board):
        raise BadMessage(f"a summary of {summary.node}/{summary.board} came under {topic.node}/{topic.board}")
    return BoardSeen(summary)


def _agent(topic: Topic, message: Message) -> Event:
    if not message.payload:
        return AgentGone(topic.node)
    status = decode(message.payload, AgentStatus)
    if status.node != topic.node:
        raise BadMessage(f"a status of {status.node} came under {topic.node}")
    return AgentSeen(status, live=not message.retain)


def _collector(topic: Topic, message: Message) -> Event:
    if not message.payload:
        return CollectorGone(topic.collector)
    status = decode(message.payload, CollectorStatus)
    if status.id != topic.collector:
        raise BadMessage(f"a status of {status.id} came under {topic.collector}")
    return CollectorSeen(status, live=not message.retain)


class MqttSource:
    """The fleet as a broker tells it. Clocks come in: `wall_ns` since 1970, `steady_s` for waits."""

    def __init__(self, address: BrokerAddress, *, wall_ns: Callable[[], int], steady_s: Callable[[], float]) -> None:
        self.name = str(address)
        self._wall_ns, self._steady_s = wall_ns, steady_s
        self._lock = threading.Lock()
        self._waiting: dict[str, Event] = {}
        self._replies: deque[Event] = deque(maxlen=MAX_ASKED)
        self._asked: dict[bytes, Callable[[bytes], Event]] = {}
        self._refused = 0
        self._refused_reason = ""
        self._last_retained_s: float | None = None
        self._connected_s: float | None = None
        self._complete = False
        self._link: LinkChanged | None = None
        self._attempt: tuple[int, float] = (0, 0.0)
        self._next_attempt_ns = 0
        self._wake: Callable[[], None] = lambda: None
        self._progress = ProgressFeed(address, self._on_progress)
        client = secrets.token_hex(16)
        self._replies_topic = topics.replies(client)
        filters = (topics.fleet(), topics.agent_topics_of(None, "status"), topics.collector_status())
        self._connection = Connection(
            address,
            client,
            Hooks(on_message=self._on_message, on_connected=self._on_connected, on_lost=lambda _: self._call()),
            subscriptions=[*((topic, 1) for topic in filters), (self._replies_topic, 1)],
        )

    def start(self, wake: Callable[[], None]) -> None:
        """Connects, for ever; `wake` is called from the connection's thread."""
        self._wake = wake
        self._connection.start()

    def stop(self) -> None:
        """Disconnects."""
        self._wake = lambda: None
        self._progress.stop()
        self._connection.stop(timeout_s=2.0)

    def drain(self) -> list[Event]:
        """The newest event of each topic since the last call, then replies and changes of the connection."""
        link = self._link_now()
        with self._lock:
            events: list[Event] = list(self._waiting.values())
            self._waiting = {}
            events += self._replies
            self._replies.clear()
            if self._refused:
                events.append(MessagesRefused(self._refused, self._refused_reason))
                self._refused = 0
            if self._is_complete():
                self._complete = True
                events.append(RetainedComplete())
        if link != self._link:
            self._link = link
            events.insert(0, link)
        return events

    def ask_history(self, collector: str, request: HistoryRequest) -> bool:
        """Asks a collector; False while there is no connection."""
        key, metric = (request.node, request.board), request.metric

        def event_of_reply(payload: bytes) -> Event:
            try:
                return HistoryCame(key, metric, decode_reply(payload, HistoryReply))
            except (RequestFailed, BadMessage) as why:
                return HistoryCame(key, metric, None, str(why))

        return self._ask(collector, "history", request, event_of_reply)

    def ask_part(self, what: Parts, collector: str, request: LedgerRequest | JobsRequest) -> bool:
        """Asks a collector; False while there is no connection."""
        kind, reply = _PARTS[what]

        def event_of_reply(payload: bytes) -> Event:
            try:
                return Came(what, collector, decode_reply(payload, reply))
            except (RequestFailed, BadMessage) as why:
                return Came(what, collector, None, str(why))

        return self._ask(collector, kind, request, event_of_reply)

    def follow(self, node: str | None) -> None:
        """Listens to this agent's runs, or to none."""
        self._progress.follow(node)

    def _ask(
        self, collector: str, kind: RequestKind, request: object, event_of_reply: Callable[[bytes], Event]
    ) -> bool:
        correlation = secrets.token_bytes(16)
        with self._lock:
            while len(self._asked) >= MAX_ASKED:
                self._asked.pop(next(iter(self._asked)))
            self._asked[correlation] = event_of_reply
        publication = Publication(
            topics.requests(collector, kind),
            encode(request),
            expiry_s=REQUEST_EXPIRY_S,
            response_topic=self._replies_topic,
            correlation=correlation,
        )
        return self._connection.publish(publication) is not None

    # ---- in the connection's thread

    def _on_connected(self) -> None:
        with self._lock:
            self._connected_s = self._steady_s()
        self._call()

    def _on_message(self, message: Message) -> None:
        is_reply = message.topic == self._replies_topic
        event = self._reply_of(message) if is_reply else self._event_or_none(message)
        with self._lock:
            first = not self._waiting and not self._replies
            if message.retain:
                self._last_retained_s = self._steady_s()
            if is_reply and event is not None:
                self._replies.append(event)
            elif event is not None:
                self._keep(message.topic, event)
        if first and event is not None:
            self._call()

    def _on_progress(self, event: ProgressSeen) -> None:
        progress = event.progress
        with self._lock:
            first = not self._waiting and not self._replies
            self._keep(f"{topics.agent_topic(progress.node, 'progress')}/{progress.board}", event)
        if first:
            self._call()

    def _keep(self, topic: str, event: Event) -> None:
        if topic not in self._waiting and len(self._waiting) >= MAX_TOPICS:
            self._refused += 1
            self._refused_reason = f"over {MAX_TOPICS} topics at once"
            return
        self._waiting[topic] = event

    def _event_or_none(self, message: Message) -> Event | None:
        try:
            return event_of(message)
        except (BadTopic, BadMessage) as why:
            with self._lock:
                self._refused += 1
                self._refused_reason = str(why)
            return None

    def _reply_of(self, message: Message) -> Event | None:
        with self._lock:
            asked = self._asked.pop(message.correlation or b"", None)
        return asked(message.payload) if asked is not None else None

    def _call(self) -> None:
        self._wake()

    # ---- what the connection says of itself

    def _is_complete(self) -> bool:
        """The subscriptions are acknowledged and no remembered message came for a while (or for too long they did)."""
        if self._complete or self._connected_s is None:
            return False
        now = self._steady_s()
        quiet_since = max(self._connected_s, self._last_retained_s or 0.0)
        return now - quiet_since >= QUIET_S or now - self._connected_s >= LONGEST_READ_S

    def _link_now(self) -> LinkChanged:
        state = self._connection.state
        if state.connected:
            return LinkChanged(True)
        attempt = (state.attempts, state.next_attempt_s)
        if attempt != self._attempt:
            self._attempt = attempt
            self._next_attempt_ns = self._wall_ns() + round(state.next_attempt_s * 1e9)
        error = "" if state.error == _FIRST_ERROR else state.error
        return LinkChanged(False, error, state.attempts, self._next_attempt_ns if error else 0)
