"""What the spool keeps and hands out, as plain data."""

import zlib
from dataclasses import dataclass, field
from typing import Final

from tinyprof_protocol.delivery import Entry, Evicted
from tinyprof_protocol.records import Body, RecordClass, class_of

CLASS_ORDER: Final[tuple[RecordClass, ...]] = ("sample", "result", "event")
"""A class's number is its place here: what goes first when the spool is full."""
ROW_BYTES: Final = 96
"""What a record costs in the spool beside its body: its columns and its place in the index."""
SEQ_BITS: Final = 40


class SpoolError(Exception):
    """The spool cannot be used; the message is one line that says what to do."""


class RecordTooLarge(ValueError):
    """A body over the bound for one record; whoever makes it must thin it first."""


@dataclass(slots=True)
class Epoch:
    """An epoch as the spool has it. `place` orders epochs and is local to one file."""

    place: int
    epoch: bytes
    next_seq: int = 1
    base: int = 1
    """The lowest seq still owed; `next_seq` if none is."""
    last_ns: int = 0
    """The last wall time that was given out in it."""
    unstamped_from: int | None = None
    """The first seq without wall time; all after it have none either."""

    @property
    def head(self) -> int:
        """The highest seq made; 0 if none was."""
        return self.next_seq - 1

    @property
    def sendable(self) -> int:
        """The highest seq up to which all have their wall time."""
        return self.head if self.unstamped_from is None else self.unstamped_from - 1


@dataclass(frozen=True, slots=True)
class EpochView:
    """An epoch as the uplink sees it: owed from `base` to `head`, of which up to `sendable` have their wall time."""

    epoch: bytes
    base: int
    head: int
    sendable: int


@dataclass(frozen=True, slots=True)
class Piece:
    """What is owed in a span of an epoch, from its near end on, as far as a read went.

    `records` and `evicted` are in the order of the read: rising, or falling for newest first. Where one is `cut`, more
    of its kind may be owed beyond its last.
    """

    epoch: bytes
    base: int
    records: list[Entry]
    evicted: list[Evicted]
    records_cut: bool
    evicted_cut: bool


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job that the agent has heard of, kept until its deadline and a day."""

    id: bytes
    deadline_ns: int
    state: str
    attempt: int
    job: bytes
    """The packed `Job`."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What an acknowledgement did: records and evicted seqs let go, and what in it the spool never made."""

    records: int = 0
    evicted: int = 0
    strange: int = 0


@dataclass(slots=True)
class SpoolStats:
    """How full the spool is, and what it counted since it was opened."""

    records: int = 0
    bytes: int = 0
    cap_bytes: int = 0
    oldest_s: float = 0.0
    epochs: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A row of the spool."""

    key: int
    kind: int
    epoch: bytes
    boot: bytes
    boottime_ns: int
    time_ns: int | None
    estimated: int
    crc: int
    body: bytes

    @property
    def intact(self) -> bool:
        """Whether the row is what was written."""
        return self.crc == checksum(self.epoch, self.key & (1 << SEQ_BITS) - 1, self.body)


def key_of(place: int, seq: int) -> int:
    """Where a record lies: epochs in their order, then seqs."""
    return place << SEQ_BITS | seq


def seq_of(key: int) -> int:
    """The seq in a key."""
    return key & (1 << SEQ_BITS) - 1


def kind_of(body: Body) -> int:
    """The number of a body's class."""
    return CLASS_ORDER.index(class_of(body))


def checksum(epoch: bytes, seq: int, body: bytes) -> int:
    """Over what must not change on the disk; SQLite itself would not notice a flipped bit in a body."""
    return zlib.crc32(body, zlib.crc32(epoch) ^ (seq & 0xFFFFFFFF))
