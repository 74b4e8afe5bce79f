"""Requests to collectors and their replies, over one MQTT connection. May be used from many threads."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from tinyprof.fleet_errors import FleetError
from tinyprof_protocol import topics
from tinyprof_protocol.broker_address import CA_FILE_VARIABLE, BrokerAddress
from tinyprof_protocol.codec import BadMessage, decode, encode
from tinyprof_protocol.connection import Connection, Hooks, Message, Publication
from tinyprof_protocol.names import PARTITIONS
from tinyprof_protocol.presence import CollectorStatus, owners_of
from tinyprof_protocol.request_reply import decode_reply
from tinyprof_protocol.requests import RequestKind

R = TypeVar("R")

CONNECT_WITHIN_S = 5.0
COLLECTOR_WITHIN_S = 2.0
SETTLE_S = 0.25
"""How long a broker's retained statuses may trickle in after the first, where they do not cover every partition."""
SETTLED_AFTER_S = 5.0
"""A collector has heard of its boards so long after its start."""
MAX_REPLIES_WAITING = 64
MAX_COLLECTORS = 256
ROOM_S = 0.02
"""The client library takes more messages once it has sent some."""
_POLL_S = 0.05


def what_to_do(error: str) -> str:
    """Advice for a broker that could not be reached: a certificate that is not trusted is no missing broker."""
    if "CERTIFICATE_VERIFY_FAILED" in error:
        return f"name the certificates that it is checked against with {CA_FILE_VARIABLE}"
    return "start a broker, or name yours with --broker or TINYPROF_BROKER"


class BrokerUnreachable(FleetError):
    """No broker at the address, or it refuses us."""


class NoCollector(FleetError):
    """A broker that answers, without a live collector behind it for what is asked."""


class CollectorSilent(FleetError):
    """A collector that calls itself live and does not answer in time."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A collector's newest status, and when it came (seconds of the channel's clock)."""

    status: CollectorStatus
    at_s: float


def live_collectors(heard: dict[str, Heard], now_s: float) -> dict[str, CollectorStatus]:
    """Those that are online and not silent for three of their own intervals."""
    return {
        name: one.status
        for name, one in heard.items()
        if one.status.state == "online" and now_s - one.at_s <= 3 * max(1.0, one.status.interval_s)
    }


def partitions_without_owner(live: dict[str, CollectorStatus]) -> list[int]:
    """Partitions that no live collector owns."""
    owned = {partition for status in live.values() for partition in status.partitions}
    return [partition for partition in range(PARTITIONS) if partition not in owned]


def are_settling(heard: dict[str, Heard], now_s: float) -> bool:
    """Whether boards may be there that no collector has heard of: one has just started, or a partition has none."""
    live = live_collectors(heard, now_s)
    ages_s = [(status.time_ns - status.started_ns) / 1e9 + now_s - heard[name].at_s for name, status in live.items()]
    return bool(partitions_without_owner(live)) or any(age_s < SETTLED_AFTER_S for age_s in ages_s)


class Exchange:
    """One request under way; its replies come in order, of which the oldest are kept if nobody reads them."""

    def __init__(self, correlation: bytes) -> None:
        self.correlation = correlation
        self._replies: queue.Queue[bytes] = queue.Queue(MAX_REPLIES_WAITING)

    def deliver(self, payload: bytes) -> bool:
        """Whether there was room for it."""
        try:
            self._replies.put_nowait(payload)
        except queue.Full:
            return False
        return True

    def next_reply(self, kind: type[R], timeout_s: float) -> R | None:
        """The next reply, None in time. Raises RequestFailed and BadMessage."""
        try:
            payload = self._replies.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None
        return decode_reply(payload, kind)


class RequestChannel:
    """The connection of one client; `ids` gives random bytes and `clock` seconds that only rise."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        ids: Callable[[int], bytes],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.address = address
        self._ids = ids
        self._clock = clock
        self._client = ids(16).hex()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._heard: dict[str, Heard] = {}
        self._exchanges: dict[bytes, Exchange] = {}
        self._listeners: dict[bytes, Callable[[bytes, bytes], None]] = {}
        self.dropped = 0
        """Messages of no use: undecodable statuses, replies nobody waits for, replies beyond the bound."""
        self._connection = Connection(
            address,
            self._client,
            Hooks(on_message=self._on_message, on_connected=self._on_connected),
            subscriptions=[(topics.replies(self._client), 1), (topics.collector_status(), 1)],
        )

    def start(self) -> None:
        """Connects. Raises BrokerUnreachable after `CONNECT_WITHIN_S`, at once where nobody listens."""
        self._connection.start()
        state = self._connection.state
        deadline = self._clock() + CONNECT_WITHIN_S
        with self._changed:
            while not state.connected:
                failed = state.attempts > 0 and state.next_attempt_s > 0
                if failed or self._clock() >= deadline:
                    break
                self._changed.wait(_POLL_S)
        if not state.connected:
            error = state.error
            self.stop()
            raise BrokerUnreachable(f"{error}; {what_to_do(error)}")

    def stop(self) -> None:
        """Disconnects; may be called twice."""
        self._connection.stop(timeout_s=1.0)

    @property
    def connections(self) -> int:
        """How many times it has connected: a request that was under way at a change must be sent again."""
        return self._connection.state.counts.get("connections", 0)

    # ---- who is there

    def collectors(self) -> dict[str, CollectorStatus]:
        """The live collectors. Raises NoCollector when none shows within `COLLECTOR_WITHIN_S`."""
        live = self._wait_for(lambda live: not partitions_without_owner(live), SETTLE_S)
        if not live:
            live = self._wait_for(bool, COLLECTOR_WITHIN_S - SETTLE_S)
        if not live:
            raise NoCollector(
                f"the broker at {self.address} answers, but no collector is behind it: "
                "start one with 'tinyprof collector run'"
            )
        return live

    def owner_of(self, partition: int, node: str) -> str:
        """The live collector that owns a partition. Raises NoCollector."""
        owners = self._wait_for(lambda live: bool(owners_of(partition, live)), COLLECTOR_WITHIN_S)
        names = owners_of(partition, owners)
        if not names:
            others = f"; live are {', '.join(sorted(owners))}" if owners else ""
            raise NoCollector(
                f"no live collector owns partition {partition:02d}, that of {node}{others}: "
                "start one with 'tinyprof collector run'"
            )
        return names[0]

    def owner_now(self, partition: int) -> str | None:
        """The live collector that owns a partition, without waiting for one."""
        with self._lock:
            names = owners_of(partition, live_collectors(self._heard, self._clock()))
        return names[0] if names else None

    def live_now(self) -> list[str]:
        """The live collectors, without waiting for one."""
        with self._lock:
            return sorted(live_collectors(self._heard, self._clock()))

    def settling(self) -> bool:
        """Whether there may be boards that no collector has heard of yet."""
        with self._lock:
            return are_settling(self._heard, self._clock())

    def starts(self) -> dict[str, int]:
        """When each collector that was heard of started: another time means that it knows of no client any more."""
        with self._lock:
            return {name: one.status.started_ns for name, one in self._heard.items() if one.status.state == "online"}

    def _wait_for(
        self, enough: Callable[[dict[str, CollectorStatus]], bool], timeout_s: float
    ) -> dict[str, CollectorStatus]:
        deadline = self._clock() + timeout_s
        with self._changed:
            while True:
                live = live_collectors(self._heard, self._clock())
                left_s = deadline - self._clock()
                if enough(live) or left_s <= 0:
                    return live
                self._changed.wait(min(left_s, _POLL_S))

    # ---- asking

    @contextmanager
    def exchange(self) -> Iterator[Exchange]:
        """Room for the replies to one request."""
        exchange = Exchange(self._ids(16))
        with self._lock:
            self._exchanges[exchange.correlation] = exchange
        try:
            yield exchange
        finally:
            with self._lock:
                self._exchanges.pop(exchange.correlation, None)

    def send(self, exchange: Exchange, collector: str, kind: RequestKind, request: object, expiry_s: float) -> None:
        """Publishes a request. Raises BrokerUnreachable where there is no connection right now."""
        self.send_as(exchange.correlation, collector, kind, request, expiry_s)

    def listen(self, correlation: bytes, listener: Callable[[bytes, bytes], None]) -> None:
        """Has `listener` called, from the connection's thread, with each reply that has the correlation data."""
        with self._lock:
            self._listeners[correlation] = listener

    def unlisten(self, correlation: bytes) -> None:
        """Ends what `listen` began; may be called twice."""
        with self._lock:
            self._listeners.pop(correlation, None)

    def send_as(self, correlation: bytes, collector: str, kind: RequestKind, request: object, expiry_s: float) -> None:
        """As `send`, for replies to a listener."""
        token = self._connection.publish(
            Publication(
                topics.requests(collector, kind),
                encode(request),
                expiry_s=max(1, round(expiry_s)),
                response_topic=topics.replies(self._client),
                correlation=correlation,
            )
        )
        if token is None:
            raise BrokerUnreachable(self._connection.state.error or f"the broker at {self.address} takes nothing")

    def _send_within(
        self, timeout_s: float, exchange: Exchange, collector: str, kind: RequestKind, request: object
    ) -> None:
        """Sends, waiting for room while jobs by the thousand are on their way. Raises BrokerUnreachable."""
        deadline = self._clock() + timeout_s
        while True:
            try:
                self.send(exchange, collector, kind, request, timeout_s)
            except BrokerUnreachable:
                if not self._connection.state.connected or self._clock() >= deadline:
                    raise
                time.sleep(ROOM_S)
            else:
                return

    def ask(self, collector: str, kind: RequestKind, request: object, reply: type[R], timeout_s: float) -> R:
        """Sends a request and waits for its reply. Raises CollectorSilent, BrokerUnreachable, RequestFailed."""
        with self.exchange() as exchange:
            self._send_within(timeout_s, exchange, collector, kind, request)
            try:
                answer = exchange.next_reply(reply, timeout_s)
            except BadMessage as why:
                raise FleetError(f"collector {collector} sent a reply that cannot be read: {why}") from None
        if answer is None:
            raise CollectorSilent(f"collector {collector} did not answer within {timeout_s:g} s")
        return answer

    def ask_each(
        self, collectors: Iterable[str], kind: RequestKind, request: object, reply: type[R], timeout_s: float
    ) -> tuple[dict[str, R], list[str]]:
        """Asks several collectors at once: their replies by name, and the names of those that stayed silent.

        Raises BrokerUnreachable and RequestFailed.
        """
        replies: dict[str, R] = {}
        with ExitStack() as stack:
            exchanges = {name: stack.enter_context(self.exchange()) for name in sorted(collectors)}
            for name, exchange in exchanges.items():
                self._send_within(timeout_s, exchange, name, kind, request)
            deadline = self._clock() + timeout_s
            for name, exchange in exchanges.items():
                try:
                    answer = exchange.next_reply(reply, deadline - self._clock())
                except BadMessage:
                    continue
                if answer is not None:
                    replies[name] = answer
        return replies, [name for name in exchanges if name not in replies]

    # ---- from the connection's thread

    def _on_connected(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _on_message(self, message: Message) -> None:
        topic = topics.parse(message.topic)
        if topic.kind == "reply":
            with self._lock:
                exchange = self._exchanges.get(message.correlation or b"")
                listener = self._listeners.get(message.correlation or b"")
            if listener is not None:
                listener(message.correlation or b"", message.payload)
            elif exchange is None or not exchange.deliver(message.payload):
                self.dropped += 1
        elif topic.kind == "collector":
            self._on_status(topic.collector, message.payload)

    def _on_status(self, collector: str, payload: bytes) -> None:
        try:
            status: Any = decode(payload, CollectorStatus)
        except BadMessage:
            self.dropped += 1
            return
        with self._changed:
            known = collector in self._heard or len(self._heard) < MAX_COLLECTORS
            if known and status.id == collector:
                self._heard[collector] = Heard(status, self._clock())
            else:
                self.dropped += 1
            self._changed.notify_all()
