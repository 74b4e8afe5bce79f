"""Where the runs of a fleet are: one connection hears the agents' progress and tells each run its own."""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final, Self

from tinyprof_protocol import topics
from tinyprof_protocol.broker_address import BrokerAddress
from tinyprof_protocol.codec import BadMessage, decode
from tinyprof_protocol.connection import Connection, Hooks, Message
from tinyprof_protocol.jobs import Progress

EACH_UP_TO: Final = 64
"""With more agents than this, the progress of all agents is heard and what is of others is dropped."""


class ProgressFeed:
    """Hears the progress of some nodes; `name` is the connection's own. A context manager."""

    def __init__(self, address: BrokerAddress, nodes: Collection[str], name: str) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[bytes, Callable[[Progress], None]] = {}
        heard = [topics.agent_topic(node, "progress") for node in sorted(nodes)]
        if len(heard) > EACH_UP_TO:
            heard = [topics.agent_topics_of(None, "progress")]
        self._connection = Connection(
            address, name, Hooks(on_message=self._on_message), subscriptions=[(topic, 0) for topic in heard]
        )

    def __enter__(self) -> Self:
        self._connection.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.stop(timeout_s=1.0)

    @contextmanager
    def of(self, job_id: bytes, hear: Callable[[Progress], None]) -> Iterator[None]:
        """While this lasts, `hear` is told the progress of a job, from the connection's thread."""
        with self._lock:
            self._listeners[job_id] = hear
        try:
            yield
        finally:
            with self._lock:
                self._listeners.pop(job_id, None)

    def _on_message(self, message: Message) -> None:
        try:
            progress = decode(message.payload, Progress)
        except BadMessage:
            return
        with self._lock:
            hear = self._listeners.get(progress.job_id or b"")
        if hear is not None:
            hear(progress)
