"""Listens to the progress of one agent's runs: of the one that somebody looks at, because all of them are too many.

The connection is of its own and lasts as long as the look; making and ending it is done in a thread of its own, so that
nobody waits for it.
"""

import secrets
import threading
from collections.abc import Callable

from tinyprof_dashboard.events import ProgressSeen
from tinyprof_protocol import topics
from tinyprof_protocol.broker_address import BrokerAddress
from tinyprof_protocol.codec import BadMessage, decode
from tinyprof_protocol.connection import Connection, Hooks, Message
from tinyprof_protocol.jobs import Progress
from tinyprof_protocol.topics import BadTopic

STOP_S = 2.0


def progress_of(message: Message) -> ProgressSeen:
    """What a message says. Raises BadTopic or BadMessage; a message that lies about its sender is a BadMessage."""
    topic = topics.parse(message.topic)
    progress = decode(message.payload, Progress)
    if topic.kind != "progress" or progress.node != topic.node:
        raise BadMessage(f"progress of {progress.node} came under {message.topic}")
    return ProgressSeen(progress)


class ProgressFeed:
    """Follows one agent at a time. `emit` is called from the connection's thread."""

    def __init__(self, address: BrokerAddress, emit: Callable[[ProgressSeen], None]) -> None:
        self._address = address
        self._emit = emit
        self._changed = threading.Condition()
        self._wanted: str | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None

    def follow(self, node: str | None) -> None:
        """From now on this agent's runs, or nobody's; returns at once."""
        with self._changed:
            if node is None and self._thread is None:
                return
            self._wanted = node
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
                self._thread.start()
            self._changed.notify()

    def stop(self) -> None:
        """Ends it; may be called twice."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(2 * STOP_S)

    def _run(self) -> None:
        followed: str | None = None
        connection: Connection | None = None
        while True:
            with self._changed:
                self._changed.wait_for(lambda now=followed: self._stopping or self._wanted != now)  # type: ignore[misc]
                wanted = None if self._stopping else self._wanted
                stopping = self._stopping
            if connection is not None:
                connection.stop(timeout_s=STOP_S)
                connection = None
            if stopping:
                return
            followed = wanted
            if wanted is not None:
                hooks = Hooks(on_message=self._on_message)
                subscriptions = [(topics.agent_topic(wanted, "progress"), 0)]
                connection = Connection(self._address, secrets.token_hex(16), hooks, subscriptions=subscriptions)
                connection.start()

    def _on_message(self, message: Message) -> None:
        try:
            self._emit(progress_of(message))
        except (BadTopic, BadMessage):
            return
