"""The spool: records enter durably, are numbered without holes, and leave when they are acknowledged."""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from tinyprof_agent.clock import Clock, Reading
from tinyprof_agent.spool import epochs as epoch_rows
from tinyprof_agent.spool import eviction, stamping
from tinyprof_agent.spool.committer import GroupCommit
from tinyprof_agent.spool.file import SpoolFile
from tinyprof_agent.spool.reading import Wanted, read_records
from tinyprof_agent.spool.rows import (
    ROW_BYTES,
    Acknowledged,
    Epoch,
    EpochView,
    JobRow,
    Piece,
    RecordTooLarge,
    SpoolError,
    SpoolStats,
    key_of,
    kind_of,
)
from tinyprof_agent.spool.schema import transaction
from tinyprof_agent.spool.writing import Append, insert, number
from tinyprof_protocol.codec import pack
from tinyprof_protocol.delivery import MAX_BATCH_BYTES, MAX_BATCH_EVICTED, MAX_BATCH_RECORDS
from tinyprof_protocol.presence import MAX_EPOCHS_LISTED, EpochOwed
from tinyprof_protocol.records import MAX_RECORD_BYTES, Body

log = logging.getLogger(__name__)

DEFAULT_CAP_BYTES: Final = 64 * 1024 * 1024
T = TypeVar("T")


class Spool:
    """The agent's one buffer. Every method may be called from any thread. Make it with `Spool.open`."""

    def __init__(self, file: SpoolFile, cap_bytes: int) -> None:
        self.cap_bytes = cap_bytes
        self._file = file
        self._committer = GroupCommit(self._append)
        self._listeners: list[Callable[[], None]] = []
        self._untaken: int | None = None
        """Records refused since the spool took its last one; None while it takes them."""

    @classmethod
    def open(
        cls,
        path: Path,
        clock: Clock,
        *,
        cap_bytes: int = DEFAULT_CAP_BYTES,
        urandom: Callable[[int], bytes] = os.urandom,
        max_page_count: int | None = None,
    ) -> "Spool":
        """Opens or makes the spool at `path` and begins a new epoch. A corrupt file is set aside and salvaged.

        `max_page_count` limits the file as a full disk would. Raises SpoolLocked, or SpoolError with one line.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as why:
            raise SpoolError(f"cannot make {path.parent}: {why.strerror}") from None
        try:
            return cls(SpoolFile(path, clock, urandom, max_page_count), cap_bytes)
        except sqlite3.Error as why:
            raise SpoolError(f"cannot open the spool {path}: {why}") from None

    # ---- what enters

    def record(self, bodies: Sequence[Body], *, jobs: Sequence[JobRow] = ()) -> list[int]:
        """Makes `bodies` durable in one transaction, with new states of jobs if given; returns their seqs.

        They are numbered on from each other, in the epoch that is current when they commit. Threads that call at the
        same time share a commit. Where the disk takes nothing more, the list is empty, the bodies are counted as
        `unspooled`, and nothing of the call was kept. Raises RecordTooLarge, and then nothing of the call was kept.
        """
        encoded = [(kind_of(body), pack(body)) for body in bodies]
        for _, data in encoded:
            if len(data) > MAX_RECORD_BYTES:
                self._file.count("too_large")
                raise RecordTooLarge(f"a record of {len(data)} bytes is over {MAX_RECORD_BYTES}")
        request = Append(encoded, self._file.clock.read(), jobs)
        self._committer.submit(request)
        if request.seqs:
            for listener in self._listeners:
                listener()
        return request.seqs

    def listen(self, listener: Callable[[], None]) -> None:
        """`listener` is called, from the recording thread, whenever records have become durable."""
        self._listeners.append(listener)

    def _append(self, requests: list[Append]) -> None:
        with self._file.mutex:
            try:
                self._file.guarded(lambda: self._commit(requests))
            except (sqlite3.Error, SpoolError) as why:
                self._refused(requests)
                self._file.note(f"the spool takes nothing more: {why}")
            else:
                self._file.last_error = ""
                if self._untaken is not None:
                    log.warning("the spool takes records again; %d records could not be kept", self._untaken)
                    self._untaken = None

    def _refused(self, requests: list[Append]) -> None:
        lost = 0
        for request in requests:
            request.seqs = []
            lost += len(request.bodies)
        self._file.count("unspooled", lost)
        self._untaken = (self._untaken or 0) + lost

    def _commit(self, requests: list[Append]) -> None:
        newest = requests[-1].reading
        epoch = self._file.epoch_for(newest)
        self._stamp(newest)
        made = number(epoch, requests)
        with transaction(self._file.connection):
            insert(self._file.connection, made.rows)
            self._file.connection.execute(
                "UPDATE epochs SET next_seq = ?, last_ns = ? WHERE place = ?",
                (made.next_seq, made.last_ns, epoch.place),
            )
            for request in requests:
                for job in request.jobs:
                    self._put_job(job)
            gone = eviction.make_room(self._file.connection, self._file.bytes + made.bytes - self.cap_bytes)
        epoch.next_seq, epoch.last_ns, epoch.unstamped_from = made.next_seq, made.last_ns, made.unstamped_from
        self._file.bytes += made.bytes - gone.bytes
        self._file.records += len(made.rows) - gone.records
        for name, count in gone.by_class.items():
            self._file.count(f"evicted_{name}s", count)
        self._file.count("recorded", len(made.rows))
        self._file.count("commits")

    # ---- wall time

    def stamp(self) -> int:
        """Fixes the wall time of all records that have none, if a clock can be trusted now; returns how many."""
        with self._file.mutex:
            if all(epoch.unstamped_from is None for epoch in self._file.epochs.values()):
                return 0
            try:
                return self._file.guarded(lambda: self._stamp(self._file.clock.read()))
            except sqlite3.Error as why:
                self._file.note(f"times cannot be fixed: {why}")
                return 0

    def _stamp(self, reading: Reading) -> int:
        return stamping.stamp_pending(self._file.connection, list(self._file.epochs.values()), reading)

    # ---- what is owed

    @property
    def generation(self) -> int:
        """Rises whenever a broken file was set aside while the agent ran: what is owed may then differ from before."""
        return self._file.generation

    def views(self) -> list[EpochView]:
        """Every epoch with something owed, oldest first, the current one always last."""
        with self._file.mutex:
            return [
                EpochView(e.epoch, e.base, e.head, e.sendable)
                for e in self._file.epochs.values()
                if e is self._file.current or e.base <= e.head
            ]

    def owed(self) -> list[EpochOwed]:
        """For the status: the newest epoch and the 63 oldest still owed, oldest first.

        Before them, where there is room, come epochs that were settled since the start, with a base above their head:
        a collector that lost its state learns that nothing of them is owed.
        """
        views = self.views()
        listed = views if len(views) <= MAX_EPOCHS_LISTED else [*views[: MAX_EPOCHS_LISTED - 1], views[-1]]
        with self._file.mutex:
            room = max(0, MAX_EPOCHS_LISTED - 1 - len(listed))
            settled = list(self._file.settled)[-room:] if room else []
            oldest_s = [self._oldest_s(self._file.epochs.get(view.epoch)) for view in listed]
        return settled + [
            EpochOwed(view.epoch, view.base, view.head, age_s) for view, age_s in zip(listed, oldest_s, strict=True)
        ]

    def _oldest_s(self, epoch: Epoch | None) -> float | None:
        """Age of the oldest record of an epoch that is in the spool; None where there is none or it is not known."""
        if epoch is None or epoch.base > epoch.head:
            return None
        span = (key_of(epoch.place, epoch.base), key_of(epoch.place, epoch.head))
        return self._age_s(self._first_row("WHERE key BETWEEN ? AND ?", span))

    def take(
        self,
        epoch: bytes,
        first: int,
        last: int,
        *,
        newest: bool = False,
        max_records: int = MAX_BATCH_RECORDS,
        max_bytes: int = MAX_BATCH_BYTES,
    ) -> Piece | None:
        """What is owed of an epoch between two seqs, from the low end or (newest) from the high end, up to limits.

        Records without wall time are left out, and so is all after them. None where the epoch is not here. A record
        that is not what was written is given up as evicted, cause `corrupt`.
        """
        with self._file.mutex:
            return self._file.guarded(lambda: self._take(epoch, Wanted(first, last, newest, max_records, max_bytes)))

    def _take(self, name: bytes, wanted: Wanted) -> Piece | None:
        epoch = self._file.epochs.get(name)
        if epoch is None:
            return None
        last = min(wanted.last, epoch.sendable)
        wanted = replace(wanted, last=last)
        read = read_records(self._file.connection, epoch, wanted)
        while read.bad:
            self._give_up(epoch, read.bad)
            read = read_records(self._file.connection, epoch, wanted)
        evicted = eviction.owed_within(
            self._file.connection, epoch.place, wanted.first, last, MAX_BATCH_EVICTED + 1, wanted.newest
        )
        cut = len(evicted) > MAX_BATCH_EVICTED
        return Piece(name, epoch.base, read.records, evicted[:MAX_BATCH_EVICTED], read.cut, cut)

    def _give_up(self, epoch: Epoch, seqs: list[int]) -> None:
        with transaction(self._file.connection):
            freed = 0
            for seq in seqs:
                key = key_of(epoch.place, seq)
                found = self._file.connection.execute("SELECT length(body) FROM records WHERE key = ?", (key,))
                freed += found.fetchone()[0]
                self._file.connection.execute("DELETE FROM records WHERE key = ?", (key,))
                eviction.owe(self._file.connection, epoch.place, [(seq, seq)], "corrupt")
        self._file.records -= len(seqs)
        self._file.bytes -= freed + ROW_BYTES * len(seqs)
        self._file.count("corrupt_records", len(seqs))

    # ---- what leaves

    def acknowledge(self, epoch: bytes, cum: int, ranges: Iterable[tuple[int, int]] = ()) -> Acknowledged:
        """Lets go of 1 to `cum` and of `ranges`, records and evicted ranges alike, in one transaction.

        An epoch that is not here and seqs that were never made are ignored and counted.
        """
        with self._file.mutex:
            try:
                return self._file.guarded(lambda: self._acknowledge(epoch, [(1, cum), *ranges]))
            except sqlite3.Error as why:
                self._file.note(f"an acknowledgement cannot be kept: {why}")
                return Acknowledged()

    def _acknowledge(self, name: bytes, pairs: list[tuple[int, int]]) -> Acknowledged:
        epoch = self._file.epochs.get(name)
        if epoch is None:
            self._file.count("strange_acks")
            return Acknowledged(strange=1)
        strange = sum(max(0, last - max(first - 1, epoch.head)) for first, last in pairs if last >= first)
        if strange:
            self._file.count("strange_acks")
        pairs = [(max(first, epoch.base), min(last, epoch.head)) for first, last in pairs]
        with transaction(self._file.connection):
            done = epoch_rows.let_go(self._file.connection, epoch.place, [pair for pair in pairs if pair[0] <= pair[1]])
            base = epoch_rows.lowest_owed(self._file.connection, epoch.place, epoch.next_seq)
            self._file.connection.execute("UPDATE epochs SET base = ? WHERE place = ?", (base, epoch.place))
            over = epoch is not self._file.current and base > epoch.head
            if over:
                self._file.connection.execute("DELETE FROM epochs WHERE place = ?", (epoch.place,))
        epoch.base = base
        if epoch.unstamped_from is not None and epoch.unstamped_from < base:
            epoch.unstamped_from = base if base <= epoch.head else None
        if over:
            self._file.forget(epoch)
        self._file.records -= done.records
        self._file.bytes -= done.bytes
        self._file.count("acknowledged", done.records)
        return Acknowledged(done.records, done.evicted, strange)

    # ---- jobs

    def jobs(self) -> list[JobRow]:
        """Every job that is kept."""
        with self._file.mutex:
            return self._file.guarded(
                lambda: [
                    JobRow(*row)
                    for row in self._file.connection.execute("SELECT id, deadline_ns, state, attempt, job FROM jobs")
                ]
            )

    def forget_jobs(self, before_ns: int) -> None:
        """Drops jobs whose deadline was before `before_ns`."""

        def drop() -> None:
            with transaction(self._file.connection):
                self._file.connection.execute("DELETE FROM jobs WHERE deadline_ns < ?", (before_ns,))

        with self._file.mutex:
            try:
                self._file.guarded(drop)
            except sqlite3.Error as why:
                self._file.note(f"old jobs cannot be dropped: {why}")

    def _put_job(self, job: JobRow) -> None:
        self._file.connection.execute(
            "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?)",
            (job.id, job.deadline_ns, job.state, job.attempt, job.job),
        )

    # ---- the file

    def stats(self) -> SpoolStats:
        """How full the spool is, how old its oldest record, and what was counted since it was opened."""
        with self._file.mutex:
            oldest_s = self._age_s(self._first_row()) or 0.0
            return SpoolStats(
                self._file.records, self._file.bytes, self.cap_bytes, oldest_s, len(self._file.epochs),
                dict(self._file.counters), self._file.last_error,
            )  # fmt: skip

    def _first_row(self, where: str = "", span: tuple[int, ...] = ()) -> tuple[bytes, int, int | None] | None:
        """Boot, time since boot and wall time of the first record of a span, None where there is none to read."""
        query = f"SELECT boot, boottime_ns, time_ns FROM records {where} ORDER BY key LIMIT 1"  # noqa: S608
        try:
            row: tuple[bytes, int, int | None] | None = self._file.guarded(
                lambda: self._file.connection.execute(query, span).fetchone()
            )
        except (sqlite3.Error, SpoolError) as why:
            self._file.note(f"the spool cannot be read: {why}")
            return None
        return row

    def _age_s(self, row: tuple[bytes, int, int | None] | None) -> float | None:
        if row is None:
            return None
        now = self._file.clock.read()
        boot, boottime_ns, time_ns = row
        if boot == now.boot:
            return max(0.0, (now.boottime_ns - boottime_ns) / 1e9)
        return max(0.0, (now.wall_ns - time_ns) / 1e9) if now.wall_ns is not None and time_ns is not None else None

    def close(self) -> None:
        """Closes the file and lets go of the lock. May be called twice."""
        with self._file.mutex:
            self._file.close()
