"""What is to be said of jobs, on its way out: it waits for room where thousands are told at once, in its order.

The client library takes so many messages and no more until it has sent some; whoever has something to say of jobs must
wait neither for that nor for a lock.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable

from tinyprof_protocol.connection import Publication

MAX_WAITING = 100_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
ROOM_S = 0.005


class Outbox:
    """A thread that publishes. What finds no connection falls: clients ask again, agents are sent it again."""

    def __init__(self, publish: Callable[[Publication], object], connected: Callable[[], bool]) -> None:
        """`publish` returns None where a message was not taken."""
        self._publish = publish
        self._connected = connected
        self._waiting: deque[Publication] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="jobs-out", daemon=True)
        self.counts = {"job_messages_sent": 0, "job_messages_unsent": 0}

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self, timeout_s: float) -> None:
        """Publishes what waits, as far as it can, and ends the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def put(self, publications: Iterable[Publication]) -> None:
        """Leaves messages to be published; those over the bound fall, and are counted."""
        with self._changed:
            for each in publications:
                if len(self._waiting) >= MAX_WAITING or self._bytes + len(each.payload) > MAX_WAITING_BYTES:
                    self.counts["job_messages_unsent"] += 1
                    continue
                self._waiting.append(each)
                self._bytes += len(each.payload)
            self._changed.notify()

    def _run(self) -> None:
        while (each := self._next()) is not None:
            while self._publish(each) is None:
                if self._stopping or not self._connected():
                    self.counts["job_messages_unsent"] += 1
                    break
                with self._changed:
                    self._changed.wait(ROOM_S)
            else:
                self.counts["job_messages_sent"] += 1

    def _next(self) -> Publication | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            if not self._waiting:
                return None
            each = self._waiting.popleft()
            self._bytes -= len(each.payload)
            return each
