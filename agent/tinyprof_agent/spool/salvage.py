"""A broken spool is set aside, never deleted, and what can be read of it is carried over under its old epoch and seq.

What is known to have been made and cannot be read is owed as evicted, cause `corrupt`. A set-aside file is named
`.unsalvaged-` until that is done, so that an agent which dies in between finishes it at its next start.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tinyprof_agent.spool import epochs as epoch_rows
from tinyprof_agent.spool import eviction
from tinyprof_agent.spool.rows import SEQ_BITS, Epoch, StoredRecord, key_of, seq_of
from tinyprof_agent.spool.schema import transaction
from tinyprof_protocol.ranges import RangeSet

MAX_FAILED_READS: Final = 20_000
"""After so many reads that met a broken page, the rest counts as unreadable."""
_HIGHEST_KEY: Final = 2**63 - 1
_COLUMNS: Final = "key, class, epoch, boot, boottime_ns, time_ns, estimated, crc, body"
_EPOCH_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Salvaged:
    """How many records were carried over, and how many seqs were given up."""

    records: int = 0
    lost: int = 0


@dataclass(slots=True)
class _Found:
    """What is known of the broken file's epochs, by their place in it."""

    damaged: bool = False
    epochs: dict[int, Epoch] = field(default_factory=dict)
    seen: dict[int, RangeSet] = field(default_factory=dict)
    """Seqs that are known to have been in the file, readable or not."""
    carried: dict[int, RangeSet] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)
    """From places in the broken file to places in the new one."""


def set_aside(path: Path, wall_ns: int | None) -> Path:
    """Renames a spool and its write-ahead log under a name with a time stamp; returns where it lies now."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() if wall_ns is None else wall_ns / 1e9))
    number = 0
    while True:
        aside = path.with_name(f"{path.name}.unsalvaged-{moment}{f'-{number}' if number else ''}")
        if not aside.exists() and not _done_name(aside).exists():
            break
        number += 1
    _rename(path, aside)
    return aside


def unfinished(path: Path) -> list[Path]:
    """Files that were set aside and have not been salvaged yet, oldest first."""
    found = path.parent.glob(f"{path.name}.unsalvaged-*")
    return sorted(aside for aside in found if not aside.name.endswith(("-wal", "-shm")))


def finished(aside: Path) -> Path:
    """Gives a salvaged file its last name, `.corrupt-` and the time; returns it."""
    done = _done_name(aside)
    _rename(aside, done)
    return done


def salvage(aside: Path, new: sqlite3.Connection, known: Iterable[Epoch] = ()) -> Salvaged:
    """Carries over what can be read of `aside`, in one transaction.

    `known` are epochs as a running agent has them in memory. Raises sqlite3.Error where the new file takes no more.
    """
    try:
        old = sqlite3.connect(f"{aside.as_uri()}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error:
        return Salvaged()
    with contextlib.closing(old), transaction(new):
        found = _survey(old, known)
        present = {bytes(row[0]) for row in new.execute("SELECT epoch FROM epochs")}
        records = _carry_records(old, new, found, present)
        _carry_evicted(old, new, found)
        lost = _give_up_the_rest(new, found)
        _carry_jobs(old, new)
    return Salvaged(records, lost)


def _survey(old: sqlite3.Connection, known: Iterable[Epoch]) -> _Found:
    """Reads the epochs, and from the index which seqs there are: the index survives many a broken page."""
    found = _Found()
    for row in _rows(old, found, "SELECT place, epoch, next_seq, base, last_ns FROM epochs ORDER BY place"):
        with contextlib.suppress(TypeError, ValueError):
            epoch = Epoch(*row)
            if (
                isinstance(epoch.epoch, bytes)
                and len(epoch.epoch) == _EPOCH_BYTES
                and epoch.next_seq >= epoch.base >= 1
            ):
                found.epochs[epoch.place] = epoch
            else:
                found.damaged = True
    for epoch in known:
        found.epochs[epoch.place] = Epoch(epoch.place, epoch.epoch, epoch.next_seq, epoch.base, epoch.last_ns)
    for (key,) in _rows(old, found, "SELECT key FROM records INDEXED BY records_by_class ORDER BY class, key"):
        if isinstance(key, int) and key > 0:
            found.seen.setdefault(key >> SEQ_BITS, RangeSet()).add(max(1, seq_of(key)))
    return found


def _rows(old: sqlite3.Connection, found: _Found, query: str) -> Iterator[tuple[Any, ...]]:
    """Rows as far as they can be read."""
    try:
        yield from old.execute(query)
    except sqlite3.Error:
        found.damaged = True


def _carry_records(old: sqlite3.Connection, new: sqlite3.Connection, found: _Found, present: set[bytes]) -> int:
    carried = 0

    def take(row: StoredRecord) -> None:
        nonlocal carried
        place, seq = row.key >> SEQ_BITS, seq_of(row.key)
        found.seen.setdefault(place, RangeSet()).add(seq)
        epoch = found.epochs.setdefault(place, Epoch(place, row.epoch))
        if epoch.epoch != row.epoch or not row.intact:
            found.damaged = True
            return
        if row.epoch in present:
            return
        if place not in found.places:
            found.places[place] = 1 + (new.execute("SELECT max(place) FROM epochs").fetchone()[0] or 0)
            epoch_rows.insert(new, Epoch(found.places[place], row.epoch))
        new.execute(
            "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (key_of(found.places[place], seq), row.kind, row.epoch, row.boot, row.boottime_ns, row.time_ns,
             row.estimated, row.crc, row.body),
        )  # fmt: skip
        found.carried.setdefault(place, RangeSet()).add(seq)
        carried += 1

    for row in _read_around(old, found):
        take(row)
    _make_missing_epochs(new, found, present)
    return carried


def _read_around(old: sqlite3.Connection, found: _Found) -> Iterator[StoredRecord]:
    """Reads every record that can be reached; where a read meets a broken page, halves its range and goes on."""
    seqs = found.seen.items()
    spans = [(key_of(place, first), key_of(place, last)) for place, pairs in seqs for first, last in pairs]
    todo = [(0, _HIGHEST_KEY), *spans]
    failures = 0
    while todo:
        low, high = todo.pop(0)
        at = low
        try:
            for values in old.execute(
                f"SELECT {_COLUMNS} FROM records WHERE key BETWEEN ? AND ? ORDER BY key",  # noqa: S608
                (low, high),
            ):
                row = _checked(values)
                if row is None:
                    found.damaged = True
                    continue
                if seq_of(row.key) not in found.carried.get(row.key >> SEQ_BITS, RangeSet()):
                    yield row
                at = row.key + 1
        except sqlite3.Error:
            found.damaged = True
            failures += 1
            if at < high and failures < MAX_FAILED_READS and (low, high) != (0, _HIGHEST_KEY):
                middle = (at + high) // 2
                todo[:0] = [(at, middle), (middle + 1, high)]
            elif (low, high) == (0, _HIGHEST_KEY):
                todo.extend(_spans_of_epochs(found))


def _spans_of_epochs(found: _Found) -> list[tuple[int, int]]:
    return [
        (key_of(place, max(1, epoch.base)), key_of(place, epoch.head))
        for place, epoch in found.epochs.items()
        if epoch.head >= epoch.base
    ]


def _checked(values: tuple[Any, ...]) -> StoredRecord | None:
    """A row whose columns have the types they must have."""
    row = StoredRecord(*values)
    integers = (row.key, row.kind, row.boottime_ns, row.estimated, row.crc)
    if not all(isinstance(value, int) for value in integers) or row.key <= 0 or not 0 <= row.kind <= 2:
        return None
    if not all(isinstance(value, bytes) for value in (row.epoch, row.boot, row.body)):
        return None
    if len(row.epoch) != _EPOCH_BYTES or len(row.boot) != _EPOCH_BYTES:
        return None
    return row if row.time_ns is None or isinstance(row.time_ns, int) else None


def _make_missing_epochs(new: sqlite3.Connection, found: _Found, present: set[bytes]) -> None:
    """Epochs of which no record could be read; then all rows get their next seq."""
    for place, epoch in sorted(found.epochs.items()):
        top = found.seen[place].highest if place in found.seen else 0
        epoch.next_seq = max(epoch.next_seq, top + 1)
        if place not in found.places and epoch.epoch not in present and epoch.base <= epoch.head:
            found.places[place] = 1 + (new.execute("SELECT max(place) FROM epochs").fetchone()[0] or 0)
            epoch_rows.insert(new, Epoch(found.places[place], epoch.epoch))
        if place in found.places:
            new.execute(
                "UPDATE epochs SET next_seq = ?, base = ?, last_ns = ? WHERE place = ?",
                (epoch.next_seq, epoch.base, epoch.last_ns, found.places[place]),
            )


def _carry_evicted(old: sqlite3.Connection, new: sqlite3.Connection, found: _Found) -> None:
    for place, first, last, cause in list(_rows(old, found, "SELECT place, first, last, cause FROM evicted")):
        epoch = found.epochs.get(place)
        if epoch is None or place not in found.places or cause not in ("cap", "corrupt", "disk"):
            continue
        held = found.carried.setdefault(place, RangeSet())
        free = held.absent(max(1, first), min(last, epoch.head)) if last >= first else []
        eviction.owe(new, found.places[place], free, cause)
        held.update(free)


def _give_up_the_rest(new: sqlite3.Connection, found: _Found) -> int:
    """In a damaged file nobody can tell a seq that was acknowledged from one that cannot be read: all are owed.

    For one that was acknowledged the collector knows better, and drops the claim as a duplicate.
    """
    lost = 0
    for place, new_place in found.places.items():
        epoch = found.epochs[place]
        if found.damaged and epoch.base <= epoch.head:
            gaps = found.carried.get(place, RangeSet()).absent(epoch.base, epoch.head)
            eviction.owe(new, new_place, gaps, "corrupt")
            lost += sum(last - first + 1 for first, last in gaps)
    return lost


def _carry_jobs(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    found = _Found()
    for row in _rows(old, found, "SELECT id, deadline_ns, state, attempt, job FROM jobs"):
        with contextlib.suppress(sqlite3.IntegrityError):
            new.execute("INSERT OR IGNORE INTO jobs VALUES (?, ?, ?, ?, ?)", row)


def _done_name(aside: Path) -> Path:
    return aside.with_name(aside.name.replace(".unsalvaged-", ".corrupt-"))


def finish_setting_aside(path: Path) -> None:
    """Where an agent died between the renames of `set_aside`, the log follows its file before either is opened."""
    log = path.with_name(path.name + "-wal")
    asides = unfinished(path)
    if asides and not path.exists() and log.exists():
        log.rename(asides[-1].with_name(asides[-1].name + "-wal"))


def _rename(old: Path, new: Path) -> None:
    for suffix in ("", "-wal"):
        source = old.with_name(old.name + suffix)
        if source.exists():
            source.rename(new.with_name(new.name + suffix))
    old.with_name(old.name + "-shm").unlink(missing_ok=True)
    folder = os.open(new.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
