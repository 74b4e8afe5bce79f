"""Which batch goes next, and when one goes again: a state machine over plain data, without clock, thread or broker.

Times are seconds of any clock that does not go back.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tinyprof_agent.spool.rows import EpochView
from tinyprof_protocol.delivery import MAX_BATCH_RECORDS, MAX_LIVE_RECORDS
from tinyprof_protocol.ranges import RangeSet

OLDEST_PLACES: Final = 6
NEWEST_PLACES: Final = 2
FIRST_DELAY_S: Final = 2.0
LONGEST_DELAY_S: Final = 60.0
JITTER: Final = 0.25
HALVED_AFTER: Final = 5
SPARE_AFTER_S: Final = 2 * FIRST_DELAY_S
"""Once each batch of the oldest end has been under way for so long, one more may go: else a whole backlog would wait
behind six records that are never answered."""
SILENT_TRIES: Final = 4
"""So many tries in a silence of the collector count as one: it is away, and no batch is to blame for that."""
MAX_PARKED: Final = 64
"""So many records alone may wait beside the window; more hold a place in it."""


@dataclass(frozen=True, slots=True)
class Want:
    """A span to cut a batch from, from its high end if `newest`.

    `flight` is the one that is sent again; None for a new batch.
    """

    epoch: bytes
    first: int
    last: int
    newest: bool = False
    max_records: int = MAX_BATCH_RECORDS
    flight: int | None = None


@dataclass(slots=True)
class Flight:
    """A batch under way: the span that it speaks for and what of it is not acknowledged yet."""

    number: int
    epoch: bytes
    first: int
    last: int
    newest: bool
    owes: RangeSet
    records: int
    due_s: float
    first_sent_s: float
    delay_s: float = FIRST_DELAY_S
    unanswered: int = 0
    """Tries without an answer, all where others had one meanwhile; else every fourth."""
    silent: int = 0
    held: bool = True
    """The client library still has it."""
    parked: bool = False
    """A record alone between its retries: it holds no place."""


@dataclass(slots=True)
class Window:
    """At most eight batches unacknowledged: six from the oldest end, seven once those have been under way for long, and
    two of what is new in the newest epoch.

    The owner asks `next`, cuts and publishes, and says `launched` or `nothing`; it tells what became of publications
    and acknowledgements. What is under way is never cut as new again; what a batch that was cut smaller leaves over is,
    together with what follows it: after a long silence of the collector batches are as large as ever. A record that is
    never answered is found all the same: it lies the nearer to the beginning of its batch each time.
    """

    rng: random.Random
    flights: dict[int, Flight] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    _views: list[EpochView] = field(default_factory=list)
    _covered: dict[bytes, RangeSet] = field(default_factory=dict)
    _oversize: list[tuple[bytes, int]] = field(default_factory=list)
    _connected: bool = False
    _word_s: float = float("-inf")
    """When the collector last said anything."""
    _next_number: int = 1
    _newest_of: tuple[bytes, int] = (b"", 0)
    """The epoch and the seq up to which the newest end was sent: what is new lies above it."""

    # ---- what the owner tells

    def refresh(self, views: Sequence[EpochView]) -> None:
        """What the spool owes now. Epochs that it does not list any more are over."""
        self._views = list(views)
        owed = {view.epoch for view in views}
        for number in [n for n, flight in self.flights.items() if flight.epoch not in owed]:
            del self.flights[number]
        self._covered = {epoch: covered for epoch, covered in self._covered.items() if epoch in owed}
        for view in views:
            covered = self._covered.setdefault(view.epoch, RangeSet())
            if view.base > 1:
                covered.add(1, view.base - 1)
            if view.base <= view.sendable and self._forgotten(view):
                self._count("recut")
                self._rebuild(view.epoch)

    def recut(self) -> None:
        """The spool began a new file: what is owed may differ from what was cut, so all of it is looked at again."""
        for epoch in self._covered:
            self._rebuild(epoch)

    def connected(self, now_s: float) -> None:
        """All that is unacknowledged goes again at once: a broker that restarted remembers nothing."""
        self._connected = True
        for flight in self.flights.values():
            flight.held = False
            flight.due_s = now_s
        for epoch, seq in self._oversize:
            if epoch in self._covered:
                self._covered[epoch].discard(seq)
        self._oversize.clear()

    def disconnected(self) -> None:
        """Nothing is sent until `connected`."""
        self._connected = False
        for flight in self.flights.values():
            flight.held = False

    def launched(
        self, want: Want, first: int, last: int, owes: RangeSet, records: int, oversize: Sequence[int], now_s: float
    ) -> int:
        """A batch for `first` to `last` of what was wanted went to the client library; returns its flight's number."""
        self._cover(want, first, last, oversize)
        if want.newest:
            self._newest_of = want.epoch, last
        flight = self.flights.get(want.flight) if want.flight is not None else None
        if flight is None:
            flight = Flight(self._next_number, want.epoch, first, last, want.newest, owes, records, now_s, now_s)
            self._next_number += 1
            self.flights[flight.number] = flight
        else:
            self._count("batches_resent")
            if last < flight.last:
                self._leave_over(flight, last)
                flight.delay_s, flight.unanswered = FIRST_DELAY_S, 0
            flight.last, flight.owes, flight.records = last, owes, records
        flight.held = True
        flight.due_s = now_s + flight.delay_s * self.rng.uniform(1.0, 1.0 + JITTER)
        return flight.number

    def nothing(self, want: Want, first: int, last: int, oversize: Sequence[int] = ()) -> None:
        """Of what was wanted, `first` to `last` holds nothing that needs sending."""
        self._cover(want, first, last, oversize)
        flight = self.flights.pop(want.flight, None) if want.flight is not None else None
        if flight is not None and last < flight.last:
            self._leave_over(flight, last)

    def published(self, number: int, outcome: str, now_s: float) -> None:
        """The client library lets go of a batch: `acknowledged` by the broker, `refused` or `lost`."""
        self._count(f"batches_{outcome}")
        flight = self.flights.get(number)
        if flight is None:
            return
        flight.held = False
        if outcome == "refused":
            flight.delay_s = min(LONGEST_DELAY_S, flight.delay_s * 2)
            flight.due_s = now_s + flight.delay_s * self.rng.uniform(1.0, 1.0 + JITTER)
            flight.unanswered -= 1

    def settled(self, epoch: bytes, pairs: Iterable[tuple[int, int]], now_s: float) -> None:
        """The collector has accounted for `pairs`. Any such word brings every delay back to the shortest."""
        pairs = [(first, last) for first, last in pairs if first <= last]
        self._word_s = now_s
        for flight in list(self.flights.values()):
            if flight.epoch == epoch:
                for first, last in pairs:
                    flight.owes.discard(first, last)
                if not flight.owes:
                    del self.flights[flight.number]
                    continue
            # What was the newest when a silence began is not by its end: it makes room for what is.
            flight.newest = flight.newest and not flight.silent
            flight.delay_s = FIRST_DELAY_S
            flight.due_s = min(flight.due_s, now_s + FIRST_DELAY_S * self.rng.uniform(1.0, 1.0 + JITTER))

    # ---- what the owner asks

    def next(self, now_s: float) -> Want | None:
        """The next span to send, or None: nothing is due, the window is full, or there is no connection."""
        if not self._connected:
            return None
        return self._due(now_s) or self._newest(now_s) or self._oldest(now_s)

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until a batch is due to go again; None while nothing is."""
        due = [flight.due_s for flight in self.flights.values() if not flight.held]
        return max(0.0, min(due) - now_s) if due and self._connected else None

    def places_taken(self, newest: bool) -> int:
        """How many batches hold a place at that end."""
        return sum(flight.newest == newest and not flight.parked for flight in self.flights.values())

    # ---- rules

    def _due(self, now_s: float) -> Want | None:
        due = [flight for flight in self.flights.values() if not flight.held and flight.due_s <= now_s]
        if not due:
            return None
        flight = min(due, key=lambda flight: (flight.due_s, flight.number))
        self._count_try(flight)
        flight.delay_s = min(LONGEST_DELAY_S, flight.delay_s * 2)
        flight.due_s = now_s + flight.delay_s
        records = MAX_BATCH_RECORDS
        if flight.unanswered >= HALVED_AFTER:
            if flight.records > 1:
                records = (flight.records + 1) // 2
                self._count("batches_halved")
                flight.unanswered = 0
            elif not flight.parked and sum(other.parked for other in self.flights.values()) < MAX_PARKED:
                flight.parked = True
                self._count("batches_parked")
        return Want(flight.epoch, flight.first, flight.last, max_records=records, flight=flight.number)

    def _count_try(self, flight: Flight) -> None:
        if self._word_s < flight.first_sent_s:
            flight.silent += 1
            if flight.silent % SILENT_TRIES:
                return
        flight.unanswered += 1

    def _oldest(self, now_s: float) -> Want | None:
        if not self._has_place(now_s, newest=False):
            return None
        for view in self._views:
            gaps = self._gaps(view)
            if gaps:
                return Want(view.epoch, *gaps[0])
        return None

    def _newest(self, now_s: float) -> Want | None:
        """What is new beside a backlog, in small batches: in large ones it would be backlog but for a record or two."""
        if not self._views or not self._has_place(now_s, newest=True):
            return None
        view = self._views[-1]
        gaps = self._gaps(view)
        if not gaps:
            return None
        if not self._is_behind() and self._has_place(now_s, newest=False):
            return None
        first, last = gaps[-1]
        if self._newest_of[0] == view.epoch:
            first = max(first, self._newest_of[1] + 1)
        return Want(view.epoch, first, last, newest=True, max_records=MAX_LIVE_RECORDS) if first <= last else None

    def _is_behind(self) -> bool:
        """Whether what is new would wait if all went oldest first."""
        owed = sum(last - first + 1 for view in self._views for first, last in self._gaps(view))
        return owed > (MAX_LIVE_RECORDS if self.flights else MAX_BATCH_RECORDS)

    def _has_place(self, now_s: float, *, newest: bool) -> bool:
        taken, others = self.places_taken(newest), self.places_taken(not newest)
        places = NEWEST_PLACES if newest else OLDEST_PLACES + self._has_spare(now_s)
        return taken < places and taken + others < OLDEST_PLACES + NEWEST_PLACES

    def _has_spare(self, now_s: float) -> bool:
        oldest = (flight for flight in self.flights.values() if not flight.newest and not flight.parked)
        return all(now_s - flight.first_sent_s >= SPARE_AFTER_S for flight in oldest)

    def _gaps(self, view: EpochView) -> list[tuple[int, int]]:
        """What of an epoch is neither accounted nor under way."""
        if view.sendable < view.base:
            return []
        return self._covered[view.epoch].absent(view.base, view.sendable)

    def _forgotten(self, view: EpochView) -> bool:
        """Whether something of an epoch is owed that was cut once, but is neither under way nor waiting."""
        return (
            not any(flight.epoch == view.epoch for flight in self.flights.values())
            and not any(epoch == view.epoch for epoch, _ in self._oversize)
            and not self._gaps(view)
        )

    def _rebuild(self, epoch: bytes) -> None:
        spans = [(flight.first, flight.last) for flight in self.flights.values() if flight.epoch == epoch]
        spans += [(seq, seq) for name, seq in self._oversize if name == epoch]
        self._covered[epoch] = RangeSet(spans)

    def _cover(self, want: Want, first: int, last: int, oversize: Sequence[int]) -> None:
        if want.epoch in self._covered and first <= last:
            self._covered[want.epoch].add(first, last)
        for seq in oversize:
            self._oversize.append((want.epoch, seq))
            self._count("oversize")

    def _leave_over(self, flight: Flight, last: int) -> None:
        if flight.epoch in self._covered:
            self._covered[flight.epoch].discard(last + 1, flight.last)

    def _count(self, name: str) -> None:
        self.counters[name] = self.counters.get(name, 0) + 1
