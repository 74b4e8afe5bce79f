"""The one MQTT client that every role uses: paho, MQTT 5, guarded callbacks, reconnecting for ever.

A new paho client is made for each connection, so that nothing is held over: clean start, session expiry 0. Whatever
was under way when a connection ended is reported as lost, and its owner decides.
"""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from tinyprof_protocol.broker_address import BrokerAddress
from tinyprof_protocol.mqtt_messages import Message, Publication, Published, properties_of
from tinyprof_protocol.network_loop import BufferedClient, NetworkLoop
from tinyprof_protocol.paho_client import no_session, paho_client
from tinyprof_protocol.reconnect import SHORT_LIFE_S, Reconnect

__all__ = ["Connection", "Hooks", "LinkState", "Message", "Publication", "Published"]

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0
KEEPALIVE_S = 30
MAX_INFLIGHT = 64
_POLL_S = 1.0
_FIRST_FAILURE_CODE = 128


@dataclass(slots=True)
class LinkState:
    """How the connection is; read at any time, from any thread."""

    connected: bool = False
    error: str = "not connected yet"
    attempts: int = 0
    next_attempt_s: float = 0.0
    clash: bool = False
    max_packet_bytes: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    """connections, losses, sent, refused, lost, received, callback_errors, not_sent."""


def _ignore(*_: Any) -> None:
    """Stands in for a callback that its owner does not want."""


@dataclass(slots=True)
class Hooks:
    """What the owner is told, all from the connection's own thread. An exception in one is logged and counted."""

    on_message: Callable[[Message], None] = _ignore
    on_connected: Callable[[], None] = _ignore
    """After the subscriptions are acknowledged: publish retained messages anew here."""
    on_lost: Callable[[str], None] = _ignore
    on_published: Callable[[Published], None] = _ignore


class Connection:
    """A connection to a broker that is made again whenever it is lost.

    `publish` may be called from any thread and never blocks; while there is no connection it returns None.
    """

    def __init__(
        self,
        address: BrokerAddress,
        client_id: str,
        hooks: Hooks,
        *,
        subscriptions: Sequence[tuple[str, int]] = (),
        will: Publication | None = None,
        reconnect: Reconnect | None = None,
        keepalive_s: int = KEEPALIVE_S,
        max_inflight: int = MAX_INFLIGHT,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        self._address = address
        self._client_id = client_id
        self._hooks = hooks
        self._subscriptions = list(subscriptions)
        self._will = will
        self._reconnect = reconnect or Reconnect()
        self._keepalive_s = keepalive_s
        self._max_inflight = max_inflight
        self._connect_timeout_s = connect_timeout_s
        self._client: paho.Client | None = None
        self._connected_at: float | None = None
        self._subscribe_mid: int | None = None
        self._drop_reason = ""
        self._refusal = ""
        self._next_token = 0
        self._pending: dict[int, int] = {}
        self._early: dict[int, ReasonCode] = {}
        self._unanswered: set[int] = set()
        """Publications of quality 0 that paho has not written yet; it says so by the same callback."""
        self._came = 0
        self._outcomes: deque[Published] = deque()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self.state = LinkState()

    # ---- for the owner

    def start(self) -> None:
        """Starts the connection's thread and returns at once."""
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{self._client_id}", daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        """Whether the connection's thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def died(self) -> bool:
        """Whether the connection's thread has ended though nobody told it to."""
        return self._thread is not None and not self._thread.is_alive() and not self._stopping.is_set()

    def stop(self, last: Sequence[Publication] = (), timeout_s: float = 5.0) -> None:
        """Publishes `last`, waits for what is pending for at most `timeout_s`, and disconnects."""
        deadline = time.monotonic() + timeout_s
        for publication in last:
            self.publish(publication)
        while self.state.connected and self._pending and time.monotonic() < deadline:
            self._wake.wait(0.02)
            self._wake.clear()
        self._stopping.set()
        client = self._client
        if client is not None:
            client.disconnect()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(max(0.1, deadline - time.monotonic()))

    def publish(self, publication: Publication) -> int | None:
        """Hands a message to the client library; returns a token for `on_published`, or None if it was not taken."""
        client = self._client
        if client is None or not self.state.connected:
            return self._not_taken()
        info = client.publish(
            publication.topic,
            publication.payload,
            publication.qos,
            publication.retain,
            properties=properties_of(publication, PacketTypes.PUBLISH),
        )
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return self._not_taken()
        return self._register(client, info.mid, publication.qos)

    def _not_taken(self) -> int | None:
        with self._lock:
            self._count("not_sent")
        return None

    def _register(self, client: paho.Client, mid: int, qos: int) -> int:
        """Gives a publication its token; its acknowledgement may have come before paho told us its message id."""
        with self._lock:
            self._next_token += 1
            token = self._next_token
            self._count("sent")
            current = client is self._client
            early = self._early.pop(mid, None) if current else None
            if qos > 0 and not current:
                self._outcomes.append(Published(token, "lost", "connection lost"))
            elif qos > 0 and early is not None:
                self._outcomes.append(_outcome(token, early))
            elif qos > 0:
                self._pending[mid] = token
            elif current and early is None:
                self._unanswered.add(mid)
        return token

    def drop(self, reason: str) -> None:
        """Ends the present connection, so that a new one is made: for one that is up but carries nothing."""
        self._drop_reason = reason
        client = self._client
        if client is not None:
            client.disconnect()

    # ---- the connection's own thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.state.attempts += 1
            wait_s = self._one_connection()
            if self._stopping.is_set():
                break
            self.state.clash = self._reconnect.clash
            if self.state.clash:
                self.state.error = (
                    f"another client seems to use the id {self._client_id!r}: three connections were lost within "
                    f"{SHORT_LIFE_S:.0f} s; give one of them another name"
                )
                log.error("%s", self.state.error)
            self.state.next_attempt_s = wait_s
            self._stopping.wait(wait_s)

    def _one_connection(self) -> float:
        """Connects and serves until the connection ends; returns the wait before the next attempt, in seconds."""
        self._connected_at = None
        self._drop_reason = ""
        self._refusal = ""
        try:
            loop = NetworkLoop(lambda: self._came)
        except OSError as why:
            self._note(f"no connection can be made on this machine ({_line(why)})", "; it is tried again")
            return self._reconnect.after_failure()
        with contextlib.closing(loop):
            return self._connect_and_serve(loop)

    def _connect_and_serve(self, loop: NetworkLoop) -> float:
        try:
            client = self._make_client(loop)
        except (OSError, ValueError) as why:
            self._note(f"the certificates in {self._address.ca_file} cannot be used ({_line(why)})", "; tried again")
            return self._reconnect.after_failure()
        try:
            client.connect(
                self._address.host,
                self._address.port,
                self._keepalive_s,
                clean_start=True,
                properties=no_session(),
            )
        except (OSError, ValueError) as why:
            self._note(
                f"no broker at {self._address} ({_line(why)})", "; start one there, or name another; it is tried again"
            )
            return self._reconnect.after_failure()
        client.deafen()
        with self._lock:
            self._client = client
            self._early.clear()
        if self._stopping.is_set():
            # `stop` came while the broker was being reached, and found no client that it could disconnect.
            client.disconnect()
        reason = self._serve(client, loop)
        return self._ended(reason)

    def _serve(self, client: paho.Client, loop: NetworkLoop) -> str:
        started = time.monotonic()
        told_long = False
        while True:
            try:
                code = loop.turn(client, _POLL_S)
            except Exception as why:  # noqa: BLE001  (paho raises many kinds on a packet that breaks the protocol)
                return _line(why)
            self._tell_outcomes()
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return self._drop_reason or paho.error_string(code)
            now = time.monotonic()
            if not self.state.connected and now - started > self._connect_timeout_s:
                silent = self._connected_at is None
                what = "accepted the connection but said nothing" if silent else "does not answer the subscription"
                return f"the broker at {self._address} {what}"
            if not told_long and self._connected_at is not None and now - self._connected_at > SHORT_LIFE_S:
                told_long = True
                self._reconnect.lived_long()
                self.state.clash = False

    def _ended(self, reason: str) -> float:
        with self._lock:
            self._client = None
            self.state.connected = False
            self._outcomes.extend(Published(token, "lost", reason) for token in self._pending.values())
            self._pending = {}
            self._unanswered.clear()
        self._tell_outcomes()
        self._wake.set()
        if self._connected_at is None:
            self._note(self._refusal or reason)
            return self._reconnect.after_failure()
        self._note(f"connection to {self._address} lost: {self._drop_reason or reason}")
        self._count("losses")
        self._guard(self._hooks.on_lost, self.state.error)
        return self._reconnect.after_loss(time.monotonic() - self._connected_at)

    def _tell_outcomes(self) -> None:
        """Outside paho's callbacks, which hold its locks: an owner may publish while it is told."""
        while self._outcomes:
            published = self._outcomes.popleft()
            self._count(published.outcome)
            self._guard(self._hooks.on_published, published)

    def _note(self, error: str, advice: str = "") -> None:
        """Logs an error once until another comes; `advice` is for the log alone: each client gives its own."""
        if error != self.state.error and not self._stopping.is_set():
            log.warning("%s%s", error, advice)
        self.state.error = error

    def _count(self, name: str, n: int = 1) -> None:
        """What several threads count they count with the lock held."""
        self.state.counts[name] = self.state.counts.get(name, 0) + n

    def _guard(self, hook: Callable[..., None], *arguments: Any) -> None:
        try:
            hook(*arguments)
        except Exception:
            self._count("callback_errors")
            log.exception("a callback of the connection failed")

    # ---- paho's callbacks

    def _make_client(self, loop: NetworkLoop) -> BufferedClient:
        client = paho_client(self._address, self._client_id, self._will, self._max_inflight, self._connect_timeout_s)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_plain = self._take
        client.on_publish = self._on_publish
        # With a hook for writes, paho leaves all writing to the thread that serves it; otherwise publish() from
        # another thread would write to the socket itself, beside that thread.
        client.on_socket_register_write = loop.wake
        return client

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, properties: Any) -> None:
        if code.is_failure:
            self._refusal = f"the broker at {self._address} refuses us: {code}"
            return
        self._connected_at = time.monotonic()
        self._count("connections")
        maximum = getattr(properties, "MaximumPacketSize", None)
        self.state.max_packet_bytes = int(maximum) if maximum else None
        at_once = getattr(properties, "ReceiveMaximum", None)
        if at_once:
            # A broker throws out whoever exceeds its receive maximum; paho neither heeds it nor lets it be set now.
            client._max_inflight_messages = min(self._max_inflight, int(at_once))  # noqa: SLF001
        if not self._subscriptions:
            self._connected()
            return
        topics = [(topic, SubscribeOptions(qos=qos)) for topic, qos in self._subscriptions]
        _, self._subscribe_mid = client.subscribe(topics)

    def _on_subscribe(self, _client: Any, _data: Any, mid: int, codes: list[ReasonCode], _properties: Any) -> None:
        if mid != self._subscribe_mid:
            return
        refused = [topic for (topic, _), code in zip(self._subscriptions, codes, strict=False) if code.is_failure]
        if refused:
            self._count("subscriptions_refused", len(refused))
            log.error("the broker refuses the subscription to %s", ", ".join(refused))
        self._connected()

    def _connected(self) -> None:
        with self._lock:
            self.state.connected = True
        self.state.error = ""
        self.state.next_attempt_s = 0.0
        log.info("connected to %s as %s", self._address, self._client_id)
        self._guard(self._hooks.on_connected)

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        properties = message.properties
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self._came += 1
            self._count("received")
            self._count("bad_topics")
            return
        self._take(
            Message(
                topic,
                bytes(message.payload),
                message.retain,
                getattr(properties, "ResponseTopic", None),
                getattr(properties, "CorrelationData", None),
            )
        )

    def _take(self, message: Message) -> None:
        self._came += 1
        self._count("received")
        self._guard(self._hooks.on_message, message)

    def _on_publish(self, _client: Any, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
        self._came += 1
        with self._lock:
            if mid in self._unanswered:
                self._unanswered.discard(mid)
                return
            token = self._pending.pop(mid, None)
            if token is None:
                self._early[mid] = code
                return
        self._outcomes.append(_outcome(token, code))
        self._wake.set()


def _outcome(token: int, code: ReasonCode) -> Published:
    if code.value >= _FIRST_FAILURE_CODE:
        return Published(token, "refused", str(code))
    return Published(token, "acknowledged")


def _line(why: BaseException) -> str:
    """What went wrong in words: of an error of the system its meaning, not its number."""
    if isinstance(why, OSError) and why.strerror:
        return why.strerror[:1].lower() + why.strerror[1:]
    return " ".join(str(why).split()) or type(why).__name__
