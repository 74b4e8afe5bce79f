"""What goes when the spool is full, and the ranges that say so until they are acknowledged."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field

from tinyprof_agent.spool.rows import CLASS_ORDER, ROW_BYTES, SEQ_BITS, seq_of
from tinyprof_protocol.delivery import Evicted, EvictionCause
from tinyprof_protocol.ranges import RangeSet

_STEP = 256


@dataclass(slots=True)
class Gone:
    """What was given up: bytes freed, records by class, and the seqs by the place of their epoch."""

    bytes: int = 0
    by_class: dict[str, int] = field(default_factory=dict)
    seqs: dict[int, RangeSet] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """How many records went."""
        return sum(self.by_class.values())


def make_room(connection: sqlite3.Connection, need_bytes: int) -> Gone:
    """Gives up records until `need_bytes` are free: the oldest samples, then the oldest results, then events.

    Runs within the caller's transaction.
    """
    gone = Gone()
    for kind, name in enumerate(CLASS_ORDER):
        while gone.bytes < need_bytes:
            rows = connection.execute(
                "SELECT key, length(body) FROM records WHERE class = ? ORDER BY key LIMIT ?", (kind, _STEP)
            ).fetchall()
            keys = []
            for key, length in rows:
                if gone.bytes >= need_bytes:
                    break
                keys.append((key,))
                gone.bytes += length + ROW_BYTES
                gone.seqs.setdefault(key >> SEQ_BITS, RangeSet()).add(seq_of(key))
            if not keys:
                break
            connection.executemany("DELETE FROM records WHERE key = ?", keys)
            gone.by_class[name] = gone.by_class.get(name, 0) + len(keys)
    for place, seqs in gone.seqs.items():
        owe(connection, place, seqs, "cap")
    return gone


def owe(connection: sqlite3.Connection, place: int, pairs: Iterable[tuple[int, int]], cause: EvictionCause) -> None:
    """Keeps ranges as evicted, joined to neighbours of the same cause. They must not overlap what is kept already."""
    for first, last in pairs:
        below = connection.execute(
            "SELECT first, last, cause FROM evicted WHERE place = ? AND first < ? ORDER BY first DESC LIMIT 1",
            (place, first),
        ).fetchone()
        above = connection.execute(
            "SELECT last FROM evicted WHERE place = ? AND first = ? AND cause = ?", (place, last + 1, cause)
        ).fetchone()
        if above is not None:
            connection.execute("DELETE FROM evicted WHERE place = ? AND first = ?", (place, last + 1))
            last = above[0]
        if below is not None and below[1:] == (first - 1, cause):
            first = below[0]
        connection.execute("INSERT OR REPLACE INTO evicted VALUES (?, ?, ?, ?)", (place, first, last, cause))


def settle(connection: sqlite3.Connection, place: int, first: int, last: int) -> int:
    """Takes `first` to `last` out of what is owed as evicted; returns how many of them were owed."""
    rows = connection.execute(
        "SELECT first, last, cause FROM evicted WHERE place = ? AND first BETWEEN ? AND ? AND last >= ?",
        (place, _lowest_that_may_reach(connection, place, first), last, first),
    ).fetchall()
    settled = 0
    for low, high, cause in rows:
        connection.execute("DELETE FROM evicted WHERE place = ? AND first = ?", (place, low))
        settled += min(high, last) - max(low, first) + 1
        rest = [(low, first - 1)] if low < first else []
        rest += [(last + 1, high)] if high > last else []
        connection.executemany(
            "INSERT INTO evicted VALUES (?, ?, ?, ?)", [(place, start, end, cause) for start, end in rest]
        )
    return settled


def owed_within(
    connection: sqlite3.Connection, place: int, first: int, last: int, limit: int, newest: bool
) -> list[Evicted]:
    """The evicted ranges of an epoch between two seqs, cut to them: the lowest `limit`, or the highest."""
    order = "DESC" if newest else "ASC"
    rows = connection.execute(
        f"SELECT first, last, cause FROM evicted WHERE place = ? AND first BETWEEN ? AND ? AND last >= ?"  # noqa: S608
        f" ORDER BY first {order} LIMIT ?",
        (place, _lowest_that_may_reach(connection, place, first), last, first, limit),
    ).fetchall()
    return [Evicted(max(low, first), min(high, last), cause) for low, high, cause in rows]


def _lowest_that_may_reach(connection: sqlite3.Connection, place: int, seq: int) -> int:
    """Where the last range that begins at or below `seq` begins: no range before it can reach `seq`."""
    found = connection.execute("SELECT max(first) FROM evicted WHERE place = ? AND first <= ?", (place, seq)).fetchone()
    return seq if found[0] is None else int(found[0])
