"""The thread between the spool, the window and the connection. It decides nothing."""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from tinyprof_agent.spool import Spool
from tinyprof_agent.uplink.cutter import Cut, cut, limits_for
from tinyprof_agent.uplink.window import Want, Window
from tinyprof_protocol.codec import BadMessage, decode, encode
from tinyprof_protocol.connection import Publication, Published
from tinyprof_protocol.delivery import Sack
from tinyprof_protocol.topics import agent_topic

log = logging.getLogger(__name__)

EXPIRY_S: Final = 60
MAX_MAIL: Final = 4096
IDLE_WAIT_S: Final = 60.0
STAMP_WAIT_S: Final = 5.0
"""How often to look whether a clock can be trusted by now, while records wait for it."""
FAILED_WAIT_S: Final = 1.0

_Mail = Sack | Published | bool


class Uplink:
    """Sends what the spool owes and lets go of what the collector has. Its hooks may be called from any thread."""

    def __init__(
        self,
        spool: Spool,
        node: str,
        publish: Callable[[Publication], int | None],
        *,
        max_packet_bytes: Callable[[], int | None] = lambda: None,
        rng: random.Random | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._node = node
        self._topic = agent_topic(node, "records")
        self._publish = publish
        self._max_packet_bytes = max_packet_bytes
        self._clock_s = clock_s
        self._window = Window(rng or random.Random())
        self._generation = spool.generation
        self._flight_of: dict[int, tuple[int, int]] = {}
        """From the connection's tokens to flights, and how many records each carried."""
        self._mail: deque[_Mail] = deque()
        self._signal = threading.Condition()
        self._stirred = False
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._counters: dict[str, int] = {}
        spool.listen(self.stir)

    # ---- for the owner and the connection

    def start(self) -> None:
        """Starts the thread."""
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Ends the thread once it has handled what it was told so far."""
        with self._signal:
            self._stopping = True
            self._signal.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def on_connected(self) -> None:
        """The connection is up and its subscriptions stand."""
        self._tell(True)

    def on_lost(self) -> None:
        """The connection is gone."""
        self._tell(False)

    def on_published(self, published: Published) -> None:
        """What became of a publication; those of others are ignored."""
        self._tell(published)

    def on_sack(self, payload: bytes) -> None:
        """A message on this agent's `sack` topic. What is none, or for another node, is ignored and counted."""
        try:
            sack = decode(payload, Sack)
        except BadMessage as why:
            log.warning("an acknowledgement cannot be read: %s", why)
            self._count("bad_sacks")
            return
        if sack.node != self._node:
            self._count("strange_sacks")
            return
        self._tell(sack)

    def stir(self) -> None:
        """There is something new in the spool."""
        with self._signal:
            self._stirred = True
            self._signal.notify()

    def counters(self) -> dict[str, int]:
        """What was counted since the start, by name."""
        return {**self._counters, **self._window.counters, "batches_in_flight": len(self._window.flights)}

    def _tell(self, mail: _Mail) -> None:
        with self._signal:
            if isinstance(mail, Sack) and len(self._mail) >= MAX_MAIL:
                # What a sack that falls out would have settled is sent again and answered again.
                self._count("sacks_dropped")
                return
            self._mail.append(mail)
            self._signal.notify()

    # ---- the thread

    def _run(self) -> None:
        wait_s = 0.0
        while True:
            with self._signal:
                if not (self._mail or self._stirred or self._stopping):
                    self._signal.wait(wait_s)
                mail = list(self._mail)
                self._mail.clear()
                self._stirred = False
                stopping = self._stopping
            try:
                wait_s = self.turn(mail)
            except Exception:
                self._count("turns_failed")
                log.exception("the uplink failed for once")
                wait_s = FAILED_WAIT_S
            if stopping:
                return

    def turn(self, mail: list[_Mail]) -> float:
        """Handles what came, sends what may be sent; returns the seconds until there may be something to do."""
        self._read(mail)
        self._spool.stamp()
        views = self._spool.views()
        self._window.refresh(views)
        if self._spool.generation != self._generation:
            self._generation = self._spool.generation
            self._window.recut()
        while (want := self._window.next(self._clock_s())) is not None:
            if not self._send(want):
                break
        due_s = self._window.wait_s(self._clock_s())
        wait_s = IDLE_WAIT_S if due_s is None else min(IDLE_WAIT_S, max(due_s, 0.01))
        return min(wait_s, STAMP_WAIT_S) if any(view.sendable < view.head for view in views) else wait_s

    def _read(self, mail: list[_Mail]) -> None:
        settled: dict[bytes, list[tuple[int, int]]] = {}
        for letter in mail:
            if isinstance(letter, Sack):
                self._count("sacks")
                pairs = [pair for pair in letter.ranges if pair[0] <= pair[1]]
                settled.setdefault(letter.epoch, []).extend([(1, letter.cum), *pairs])
            elif isinstance(letter, Published):
                self._note_outcome(letter)
            elif letter:
                self._window.connected(self._clock_s())
            else:
                self._flight_of.clear()
                self._window.disconnected()
        for epoch, pairs in settled.items():
            self._spool.acknowledge(epoch, 0, pairs)
            self._window.settled(epoch, pairs, self._clock_s())

    def _note_outcome(self, published: Published) -> None:
        flight = self._flight_of.pop(published.token, None)
        if flight is None:
            return
        number, records = flight
        if published.outcome == "acknowledged":
            self._count("records_sent", records)
        elif published.outcome == "refused":
            log.warning("the broker refuses a batch: %s", published.reason)
        self._window.published(number, published.outcome, self._clock_s())

    def _send(self, want: Want) -> bool:
        """Cuts and publishes a batch; False where the connection does not take it now."""
        limits = limits_for(self._max_packet_bytes(), want.max_records)
        piece = self._spool.take(
            want.epoch, want.first, want.last, newest=want.newest, max_records=want.max_records,
            max_bytes=max(1, limits.max_bytes),
        )  # fmt: skip
        if piece is None:
            self._window.nothing(want, want.first, want.last)
            return True
        made = cut(self._node, piece, want.first, want.last, newest=want.newest, limits=limits)
        if made.first > made.last:
            self._count("packets_too_small")
            return False
        if made.empty:
            self._window.nothing(want, made.first, made.last, made.oversize)
            return True
        return self._launch(want, made)

    def _launch(self, want: Want, made: Cut) -> bool:
        token = self._publish(Publication(self._topic, encode(made.batch), expiry_s=EXPIRY_S))
        if token is None:
            self._count("batches_not_taken")
            return False
        records = len(made.batch.records)
        number = self._window.launched(want, made.first, made.last, made.owes, records, made.oversize, self._clock_s())
        self._flight_of[token] = (number, records)
        return True

    def _count(self, name: str, n: int = 1) -> None:
        self._counters[name] = self._counters.get(name, 0) + n
