"""Gives wall time to records that were made before any clock could be trusted: once, in seq order, durably."""

import sqlite3
from collections.abc import Mapping

from tinyprof_agent import clock
from tinyprof_agent.clock import BootSpan, Reading
from tinyprof_agent.spool.rows import Epoch, key_of, seq_of
from tinyprof_agent.spool.schema import transaction

CHUNK = 1000


def stamp_pending(connection: sqlite3.Connection, epochs: list[Epoch], now: Reading) -> int:
    """Stamps every record without wall time, oldest first, a chunk a transaction; returns how many.

    Records of this boot get the time that they were made at; those of earlier boots lie just before this boot. Does
    nothing while `now` has no wall time. `epochs` are brought up to date as the chunks commit.
    """
    if now.wall_ns is None:
        return 0
    pending = [epoch for epoch in epochs if epoch.unstamped_from is not None]
    offsets = _offsets(connection, pending, now) if pending else {}
    stamped = 0
    for epoch in pending:
        while epoch.unstamped_from is not None:
            stamped += _stamp_chunk(connection, epoch, offsets, now)
    return stamped


def _offsets(connection: sqlite3.Connection, pending: list[Epoch], now: Reading) -> dict[bytes, int]:
    """For each boot with pending records: what to add to time since boot."""
    assert now.wall_ns is not None
    spans: dict[bytes, BootSpan] = {}
    for epoch in pending:
        assert epoch.unstamped_from is not None
        rows = connection.execute(
            "SELECT boot, min(boottime_ns), max(boottime_ns) FROM records WHERE key BETWEEN ? AND ? GROUP BY boot"
            " ORDER BY min(key)",
            (key_of(epoch.place, epoch.unstamped_from), key_of(epoch.place, epoch.head)),
        )
        for boot, low, high in rows:
            known = spans.get(boot, BootSpan(low, high))
            spans[boot] = BootSpan(min(low, known.first_ns), max(high, known.last_ns))
    earlier = [boot for boot in spans if boot != now.boot]
    boot_wall_ns = now.wall_ns - now.boottime_ns
    placed = clock.place_before([spans[boot] for boot in earlier], boot_wall_ns)
    return {now.boot: boot_wall_ns, **dict(zip(earlier, placed, strict=True))}


def _stamp_chunk(connection: sqlite3.Connection, epoch: Epoch, offsets: Mapping[bytes, int], now: Reading) -> int:
    assert epoch.unstamped_from is not None
    last_ns = epoch.last_ns
    with transaction(connection):
        rows = connection.execute(
            "SELECT key, boot, boottime_ns FROM records WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?",
            (key_of(epoch.place, epoch.unstamped_from), key_of(epoch.place, epoch.head), CHUNK),
        ).fetchall()
        changes = []
        for key, boot, boottime_ns in rows:
            last_ns = clock.stamp(boottime_ns + offsets[boot], last_ns, epoch.epoch)
            estimated = boot != now.boot or now.source == "estimated"
            changes.append((last_ns, int(estimated), key))
        connection.executemany("UPDATE records SET time_ns = ?, estimated = ? WHERE key = ?", changes)
        connection.execute("UPDATE epochs SET last_ns = ? WHERE place = ?", (last_ns, epoch.place))
    epoch.last_ns = last_ns
    epoch.unstamped_from = seq_of(rows[-1][0]) + 1 if len(rows) == CHUNK else None
    return len(rows)
