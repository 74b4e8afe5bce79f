"""Numbers what is to be recorded and writes it, many rows a statement."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tinyprof_agent import clock as clocks
from tinyprof_agent.clock import Reading
from tinyprof_agent.spool.rows import ROW_BYTES, Epoch, JobRow, checksum, key_of

INSERT: Final = "INSERT INTO records VALUES "
ROW: Final = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
ROWS_A_STATEMENT: Final = 32


@dataclass(slots=True)
class Append:
    """What one call of `record` wants, and the seqs that it was given."""

    bodies: list[tuple[int, bytes]]
    """The number of each body's class, and its bytes."""
    reading: Reading
    jobs: Sequence[JobRow] = ()
    seqs: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Numbered:
    """Rows to write, and what their epoch becomes once they are committed."""

    rows: list[tuple[object, ...]]
    bytes: int
    next_seq: int
    last_ns: int
    unstamped_from: int | None


def number(epoch: Epoch, requests: Sequence[Append]) -> Numbered:
    """Gives every body its seq and, where a clock can be trusted and none before it waits for one, its wall time."""
    made = Numbered([], 0, epoch.next_seq, epoch.last_ns, epoch.unstamped_from)
    for request in requests:
        reading = request.reading
        request.seqs = list(range(made.next_seq, made.next_seq + len(request.bodies)))
        made.next_seq += len(request.bodies)
        for seq, (kind, body) in zip(request.seqs, request.bodies, strict=True):
            time_ns = None
            if reading.wall_ns is not None and made.unstamped_from is None:
                time_ns = made.last_ns = clocks.stamp(reading.wall_ns, made.last_ns, epoch.epoch)
            elif made.unstamped_from is None:
                made.unstamped_from = seq
            made.rows.append((
                key_of(epoch.place, seq), kind, epoch.epoch, reading.boot, reading.boottime_ns, time_ns,
                int(reading.source == "estimated"), checksum(epoch.epoch, seq, body), body,
            ))  # fmt: skip
            made.bytes += len(body) + ROW_BYTES
    return made


def insert(connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """Many rows a statement: each statement lets another thread in, and getting back in costs more than a row."""
    for start in range(0, len(rows), ROWS_A_STATEMENT):
        chunk = rows[start : start + ROWS_A_STATEMENT]
        connection.execute(INSERT + ", ".join([ROW] * len(chunk)), [value for row in chunk for value in row])
