"""Reads what is owed of an epoch, in the order and within the limits that a batch wants."""

import contextlib
import sqlite3
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tinyprof_agent.spool.rows import Epoch, StoredRecord, key_of, seq_of
from tinyprof_protocol.codec import pack
from tinyprof_protocol.delivery import Entry
from tinyprof_protocol.records import EncodedRecord

COLUMNS: Final = "key, class, epoch, boot, boottime_ns, time_ns, estimated, crc, body"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A span of seqs, from which end, and how much at most."""

    first: int
    last: int
    newest: bool
    max_records: int
    max_bytes: int


@dataclass(slots=True)
class Read:
    """Records in the order of the read, seqs whose row is not what was written, and whether more may follow."""

    records: list[Entry] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    cut: bool = False


def read_records(connection: sqlite3.Connection, epoch: Epoch, wanted: Wanted) -> Read:
    """The records of a span as they travel. All of them must have their wall time."""
    order = "DESC" if wanted.newest else "ASC"
    read = Read()
    size = 0
    cursor = connection.execute(
        f"SELECT {COLUMNS} FROM records WHERE key BETWEEN ? AND ? ORDER BY key {order} LIMIT ?",  # noqa: S608
        (key_of(epoch.place, wanted.first), key_of(epoch.place, wanted.last), wanted.max_records + 1),
    )
    with contextlib.closing(cursor):
        for number, values in enumerate(cursor):
            row = StoredRecord(*values)
            if number == wanted.max_records or size >= wanted.max_bytes:
                read.cut = True
                break
            if not row.intact or row.time_ns is None:
                read.bad.append(seq_of(row.key))
                continue
            read.records.append(_entry(row, row.time_ns))
            size += len(read.records[-1].data)
    return read


def _entry(row: StoredRecord, time_ns: int) -> Entry:
    record = EncodedRecord(
        time_ns, "estimated" if row.estimated else "clock", row.boot, row.boottime_ns, msgspec.Raw(row.body)
    )
    return Entry(seq_of(row.key), pack(record))
