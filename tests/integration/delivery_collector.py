"""The collector of the delivery model: the real pipeline on real files or in memory, each of its parts able to fail."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from tinyprof_collector.accounting import AccountImage
from tinyprof_collector.inbox import Inbox
from tinyprof_collector.ledger import StoreCount
from tinyprof_collector.ledger_image import Changes, LedgerImage, NodeTotals
from tinyprof_collector.pipeline import Pipeline, PipelineSettings
from tinyprof_collector.quarantine import Poison, Quarantine, QuarantineFailed, RecordKey
from tinyprof_collector.state.sqlite import SqliteState
from tinyprof_collector.state.state import State, StateFailed
from tinyprof_collector.stores.sqlite import SqliteStore
from tinyprof_collector.stores.store import Answer, Arrival, Reader, Refused, Store, StoreFailed
from tinyprof_protocol.bounds import MAX_SEQ
from tinyprof_protocol.codec import pack
from tinyprof_protocol.records import Event, Record

RETENTION_NS = 30 * 24 * 3600 * 10**9
FRESH = "lab.fresh"
REFUSED = "refused-"
"""Events whose name begins so are refused by the store until it is told better."""

Key = tuple[bytes, int]
"""An epoch and a seq: what the agents of the model, all of one node, owe."""


class MemoryStore:
    """A store as its protocol asks for, in a dictionary."""

    name = "memory"

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.rows: dict[RecordKey, bytes] = {}

    def check(self) -> str | None:
        return None

    def write(self, arrivals: Sequence[Arrival]) -> list[Answer]:
        return [self._take(arrival) for arrival in arrivals]

    def _take(self, arrival: Arrival) -> Answer:
        key = (arrival.node, arrival.epoch, arrival.seq)
        if key in self.rows:
            return "held"
        if arrival.record.time_ns < self._clock() - RETENTION_NS:
            return "expired"
        self.rows[key] = arrival.data
        return "stored"

    def prepare(self, arrivals: Sequence[Arrival]) -> bool:
        return True

    def read(self) -> AbstractContextManager[Reader]:
        raise StoreFailed("the model reads its rows")

    def count(self, node: str, epoch: bytes | None = None, first: int = 1, last: int = MAX_SEQ) -> StoreCount:
        return StoreCount(sum(n == node and epoch in (None, e) and first <= s <= last for n, e, s in self.rows))

    def close(self) -> None:
        """Nothing is held."""


class MemoryState:
    """A state as its protocol asks for, as packed images."""

    def __init__(self) -> None:
        self._accounts: dict[tuple[str, bytes], bytes] = {}
        self._totals: dict[str, bytes] = {}

    def load(self) -> LedgerImage:
        decode = msgspec.msgpack.decode
        return LedgerImage(
            [decode(data, type=AccountImage) for data in self._accounts.values()],
            [decode(data, type=NodeTotals) for data in self._totals.values()],
        )

    def keep(self, changes: Changes) -> None:
        self._accounts.update(((image.node, image.epoch), pack(image)) for image in changes.accounts)
        self._totals.update((image.node, pack(image)) for image in changes.totals)
        for key in changes.gone:
            self._accounts.pop(key, None)

    def check(self) -> str | None:
        return None

    def close(self) -> None:
        """Nothing is held."""


class TouchyStore:
    """In front of a store: it may fail before it writes, after it wrote, or half-way; and it refuses some records."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.name = inner.name
        self.check, self.read, self.close = inner.check, inner.read, inner.close
        self.prepare = inner.prepare
        self.fails = ""
        self.refuses = True
        self.expired: set[Key] = set()

    def write(self, arrivals: Sequence[Arrival]) -> list[Answer]:
        if self.fails == "before":
            raise StoreFailed("the store takes nothing")
        refused = [self._refused(arrival) for arrival in arrivals]
        fit = [arrival for arrival, no in zip(arrivals, refused, strict=True) if not no]
        written = self.inner.write(fit[: len(fit) // 2] if self.fails == "half-way" else fit)
        self.expired.update((a.epoch, a.seq) for a, answer in zip(fit, written, strict=False) if answer == "expired")
        if self.fails:
            raise StoreFailed("the store fell silent")
        answers = iter(written)
        return [Refused("no such thing") if no else next(answers) for no in refused]

    def count(self, node: str, epoch: bytes | None = None, first: int = 1, last: int = MAX_SEQ) -> StoreCount:
        if self.fails == "before":
            raise StoreFailed("the store answers nothing")
        return self.inner.count(node, epoch, first, last)

    def _refused(self, arrival: Arrival) -> bool:
        body = arrival.record.body
        if not (self.refuses and isinstance(body, Event) and body.name.startswith(REFUSED)):
            return False
        return not self.inner.count(arrival.node, arrival.epoch, arrival.seq, arrival.seq).held


class MortalState:
    """In front of a state: it may be unable to keep anything."""

    def __init__(self, inner: State) -> None:
        self.inner = inner
        self.load, self.check, self.close = inner.load, inner.check, inner.close
        self.fails = False

    def keep(self, changes: Changes) -> None:
        if self.fails:
            raise StateFailed("no room for the state")
        self.inner.keep(changes)


class WatchedQuarantine(Quarantine):
    """The real quarantine, which writes down what it was given and what fell out, and may be unable to take more."""

    def __init__(self, path: Path, max_items: int) -> None:
        super().__init__(path, max_items=max_items)
        self.fails = False
        self.given: dict[Key, bytes] = {}
        self.whole: list[Poison] = []
        self.fallen: set[Key] = set()

    def add(self, poisons: Sequence[Poison], time_ns: int) -> list[RecordKey]:
        if self.fails:
            raise QuarantineFailed("no room for the quarantine")
        fallen = super().add(poisons, time_ns)
        for poison in poisons:
            if poison.seq is None:
                self.whole.append(poison)
            else:
                self.given[poison.epoch, poison.seq] = poison.data
        self.fallen.update((epoch, seq) for _, epoch, seq in fallen)
        return fallen


class Collector:
    """A pipeline that can be killed and started again, with an inbox as the service has it."""

    def __init__(self, folder: Path, *, real: bool, max_items: int, clock: Callable[[], int],
                 monotonic: Callable[[], float]) -> None:  # fmt: skip
        self._folder = folder
        self._real = real
        self._clock = clock
        self._monotonic = monotonic
        self.quarantine = WatchedQuarantine(folder / "quarantine.sqlite", max_items)
        self.store = TouchyStore(self._open_store() if real else MemoryStore(clock))
        self.state = MortalState(self._open_state())
        self.batches_fallen = 0
        self._start()

    def _open_store(self) -> SqliteStore:
        """Retention counts from the newest record in the store: one of another node keeps that at the present."""
        store = SqliteStore(self._folder / "store.sqlite", clock=self._clock, monotonic=self._monotonic)
        record = Record(self._clock(), "clock", bytes(16), 0, Event("fresh"))
        store.write([Arrival(FRESH, self._clock().to_bytes(16, "big"), 1, pack(record), record)])
        return store

    def _open_state(self) -> State:
        return SqliteState(self._folder / "state.sqlite") if self._real else MemoryState()

    def _start(self) -> None:
        self.inbox = Inbox()
        self.pipeline = Pipeline(
            [self.store], self.state, self.quarantine, self._clock, PipelineSettings(max_held=8),
            monotonic=self._monotonic,
        )  # fmt: skip

    def die(self, *, lose_state: bool = False) -> None:
        """Ends at once with all that was in memory, and starts again."""
        if lose_state:
            self.state.close()
            for path in self._folder.glob("state.sqlite*"):
                path.unlink()
            self.state = MortalState(self._open_state())
        elif self._real:
            self.state.close()
            self.state = MortalState(self._open_state())
        if self._real:
            self.store.close()
            expired, refuses = self.store.expired, self.store.refuses
            self.store = TouchyStore(self._open_store())
            self.store.expired, self.store.refuses = expired, refuses
        self.heal()
        self._start()

    def heal(self) -> None:
        """Everything takes again what it should take."""
        self.store.fails, self.state.fails, self.quarantine.fails = "", False, False

    def close(self) -> None:
        for part in (self.store, self.state, self.quarantine):
            part.close()

    # ---- what is really there, past all of the collector's code

    def stored(self) -> Iterable[tuple[RecordKey, bytes]]:
        """Every row of the store."""
        inner = self.store.inner
        if isinstance(inner, MemoryStore):
            return inner.rows.items()
        assert isinstance(inner, SqliteStore)
        rows = inner._connection.execute("SELECT node, epoch, seq, data FROM records JOIN epochs e ON e.id = epoch_id")
        return [((node, epoch, seq), data) for node, epoch, seq, data in rows if node != FRESH]

    def quarantined(self) -> set[Key]:
        return {(epoch, seq) for _, epoch, seq in self.quarantine.records()}
