"""What the connection's thread does: it passes on what comes, and when the broker is there and is not."""

import threading
from collections.abc import Callable

from tinyprof_collector.control import Control
from tinyprof_collector.ingest import Ingest, Watchdog
from tinyprof_protocol.connection import Message


class BrokerSide:
    """The hooks of the one connection; none of them waits."""

    def __init__(
        self,
        ingest: Ingest,
        control: Control,
        watchdog: Watchdog,
        stopping: threading.Event,
        on_ready: Callable[[], None],
    ) -> None:
        """Once `stopping` is set nothing more is taken; `on_ready` is called at the first connect."""
        self._ingest = ingest
        self._control = control
        self._watchdog = watchdog
        self._stopping = stopping
        self._on_ready = on_ready
        self._said_ready = False

    def message(self, message: Message) -> None:
        """A message has come."""
        if not self._stopping.is_set():
            self._ingest.take(message)

    def connected(self) -> None:
        """The broker is there, for the first time or again."""
        self._control.connected()
        if not self._said_ready:
            self._said_ready = True
            self._on_ready()

    def lost(self, _why: str) -> None:
        """The connection is lost."""
        self._watchdog.lost()
