"""What a store is: one file behind `check`, `write`, `read` and `count`."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from tinyprof_collector.ledger import StoreCount
from tinyprof_protocol.bounds import MAX_SEQ
from tinyprof_protocol.codec import unpack
from tinyprof_protocol.records import Record, Verdict
from tinyprof_protocol.requests import Point
from tinyprof_protocol.series import SeriesSeen


class Arrival(Struct, gc=False):
    """A record on its way into the stores: whose it is, its bytes as they came, and what they decode to.

    The bytes decode: that was tried before there was an arrival.
    """

    node: str
    epoch: bytes
    seq: int
    data: bytes
    kept: Record | None
    """What the bytes decode to, until everyone has taken what they want: thousands of decoded records are much memory,
    and slow to come back to."""
    prepared: object = None
    """What the store that prepares has made of it."""

    @property
    def record(self) -> Record:
        """What the bytes decode to; decoded again where it was let go of."""
        return self.kept if self.kept is not None else unpack(self.data, Record)


class Refused(NamedTuple):
    """The store will never take this record, and says why; its neighbours are not to blame."""

    reason: str


Answer = Literal["stored", "held", "expired", "later"] | Refused
"""`held`: it was there already. `expired`: it lies outside the store's retention and was not written. `later`: it has
no turn now, because its agent's records were refused; nothing is accounted, and the agent sends it again."""


class StoreFailed(Exception):
    """The store takes nothing now: hold, try again, acknowledge nothing. `retry_after_s` is the store's own wish."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RunSeen(Struct, frozen=True, gc=False):
    """A run of one series of a board, as small as it can be."""

    time_ns: int
    verdict: Verdict
    decode_tps: float | None


@dataclass(slots=True)
class BoardLatest:
    """What a store knows of a board: the series that stands for it, its newest sample, and how its runs went.

    The series is that of its newest scheduled run, or of its newest run where none was scheduled.
    """

    node: str
    board: str
    result: Record | None = None
    """The newest result of that series."""
    sample: Record | None = None
    scheduled_ns: int | None = None
    """The time of the newest run that no client asked for."""
    newest: list[RunSeen] = field(default_factory=list)
    """The newest 32 runs of that series, oldest first."""
    results: int = 0
    valid: int = 0
    unstable: int = 0
    invalid: int = 0


class Reader(Protocol):
    """Reads of a store. A reader belongs to the thread that opened it."""

    def history(
        self, node: str, board: str, metric: str, since_ns: int = 0, limit: int = 500, series: str | None = None
    ) -> list[Point]:
        """The newest `limit` points of a metric since a time, oldest first: of one series of runs, or of all.

        Readings between runs belong to no series and are always among them.
        """

    def others(self, node: str, board: str, metric: str, series: str, since_ns: int = 0) -> int:
        """How many points of a metric since a time are of runs of other series; counted no further than 100,000."""

    def shown_series(self, node: str, board: str) -> str:
        """The series that stands for a board: of its newest scheduled run, else of its newest; empty without a run."""

    def describe(self, node: str, board: str, series: Sequence[str]) -> list[SeriesSeen]:
        """Those of the series that the board has runs of, in words, in that order."""

    def runs(self, node: str, board: str, limit: int = 32) -> list[Record]:
        """The newest results of a board, newest first."""

    def results(
        self, node: str, board: str, after_ns: int = 0, until_ns: int | None = None, limit: int = 64
    ) -> list[Record]:
        """The first `limit` results of a board after a time and up to another, oldest first."""

    def latest(self, node: str | None = None) -> list[BoardLatest]:
        """Every board (of a node), with the newest that is known of it."""


class Store(Protocol):
    """Takes records once each. `check`, `write` and `count` come from the pipeline's thread, `read` from any.

    `prepare` may come from a second thread while `write` goes on, but only for a store that waits for a server.
    """

    name: str

    def check(self) -> str | None:
        """What is wrong, in a line; None if nothing is."""

    def prepare(self, arrivals: Sequence[Arrival], /) -> bool:
        """Makes ahead what it will write of records while they are decoded; True if it wants the decoded no more.

        Writes nothing; what is prepared may be thrown away.
        """

    def write(self, arrivals: Sequence[Arrival]) -> list[Answer]:
        """Writes records and returns, in order, what became of each, once that would survive a loss of power.

        A record of a (node, epoch, seq) that is there already stays as it is. Raises StoreFailed; then some may
        have been written, and will be `held` when they come again.
        """

    def read(self) -> AbstractContextManager[Reader]:
        """A reader for the calling thread. Raises StoreFailed."""

    def count(self, node: str, epoch: bytes | None = None, first: int = 1, last: int = MAX_SEQ) -> StoreCount:
        """How many records of a node, of an epoch, or of an epoch's seqs `first` to `last` the store holds.

        `deleted` is only counted over all seqs. Raises StoreFailed.
        """

    def close(self) -> None:
        """Lets go of what is held."""
