"""The epochs of a spool's file, and what is owed of each."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field

from tinyprof_agent.spool import eviction
from tinyprof_agent.spool.rows import ROW_BYTES, Epoch, key_of, seq_of
from tinyprof_agent.spool.schema import SpoolCorrupt, transaction


@dataclass(slots=True)
class Loaded:
    """What a file holds: its epochs, oldest first, and how much is in it."""

    epochs: list[Epoch] = field(default_factory=list)
    records: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class LetGo:
    """What was deleted: records, their bytes, and seqs of evicted ranges."""

    records: int
    bytes: int
    evicted: int


def begin(connection: sqlite3.Connection, epoch: bytes) -> Epoch:
    """Begins an epoch behind all others, durably."""
    with transaction(connection):
        place = 1 + (connection.execute("SELECT max(place) FROM epochs").fetchone()[0] or 0)
        begun = Epoch(place, epoch)
        insert(connection, begun)
    return begun


def insert(connection: sqlite3.Connection, epoch: Epoch) -> None:
    """Writes a row for an epoch, within the caller's transaction."""
    connection.execute(
        "INSERT INTO epochs VALUES (?, ?, ?, ?, ?)",
        (epoch.place, epoch.epoch, epoch.next_seq, epoch.base, epoch.last_ns),
    )


def load(connection: sqlite3.Connection) -> Loaded:
    """Reads the epochs and sums up the records. Raises SpoolCorrupt where the tables contradict each other."""
    loaded = Loaded()
    for row in connection.execute("SELECT place, epoch, next_seq, base, last_ns FROM epochs ORDER BY place"):
        loaded.epochs.append(Epoch(*row))
    for epoch in loaded.epochs:
        low, high = key_of(epoch.place, 0), key_of(epoch.place + 1, 0) - 1
        count, size, top = connection.execute(
            "SELECT count(*), coalesce(sum(length(body)), 0), max(key) FROM records WHERE key BETWEEN ? AND ?",
            (low, high),
        ).fetchone()
        if top is not None and seq_of(top) >= epoch.next_seq:
            raise SpoolCorrupt(f"an epoch's next seq is {epoch.next_seq}, yet it holds {seq_of(top)}")
        loaded.records += count
        loaded.bytes += size + ROW_BYTES * count
        epoch.base = lowest_owed(connection, epoch.place, epoch.next_seq)
        pending = connection.execute(
            "SELECT min(key) FROM records WHERE time_ns IS NULL AND key BETWEEN ? AND ?", (low, high)
        ).fetchone()[0]
        epoch.unstamped_from = None if pending is None else seq_of(pending)
    if loaded.records != connection.execute("SELECT count(*) FROM records").fetchone()[0]:
        raise SpoolCorrupt("records of no epoch")
    return loaded


def lowest_owed(connection: sqlite3.Connection, place: int, next_seq: int) -> int:
    """The lowest seq of an epoch that is still owed, as a record or as evicted; `next_seq` if none is."""
    record = connection.execute(
        "SELECT min(key) FROM records WHERE key BETWEEN ? AND ?", (key_of(place, 0), key_of(place, next_seq))
    ).fetchone()[0]
    evicted = connection.execute("SELECT min(first) FROM evicted WHERE place = ?", (place,)).fetchone()[0]
    return min(next_seq if record is None else seq_of(record), next_seq if evicted is None else int(evicted))


def let_go(connection: sqlite3.Connection, place: int, pairs: Iterable[tuple[int, int]]) -> LetGo:
    """Deletes what is owed within `pairs`, within the caller's transaction."""
    records = size = evicted = 0
    for first, last in pairs:
        keys = (key_of(place, first), key_of(place, last))
        count, length = connection.execute(
            "SELECT count(*), coalesce(sum(length(body)), 0) FROM records WHERE key BETWEEN ? AND ?", keys
        ).fetchone()
        if count:
            connection.execute("DELETE FROM records WHERE key BETWEEN ? AND ?", keys)
        records += count
        size += length + ROW_BYTES * count
        evicted += eviction.settle(connection, place, first, last)
    return LetGo(records, size, evicted)
