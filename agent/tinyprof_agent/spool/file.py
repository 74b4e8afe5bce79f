"""The spool's file while it is held: its connection, its epochs in memory, and what is done when it is broken."""

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from tinyprof_agent import clock as clocks
from tinyprof_agent.clock import Clock, Reading
from tinyprof_agent.spool import epochs as epoch_rows
from tinyprof_agent.spool import salvage, schema
from tinyprof_agent.spool.lock import SpoolLock
from tinyprof_agent.spool.rows import Epoch, SpoolError
from tinyprof_agent.spool.schema import transaction
from tinyprof_protocol.presence import EpochOwed

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_SETTLED_LISTED: Final = 16
MAX_DRAWS: Final = 100
"""With more epochs than there are last digits of a time, some share theirs."""


class SpoolFile:
    """Held by one process, under one mutex that its owner takes around every call."""

    def __init__(self, path: Path, clock: Clock, urandom: Callable[[int], bytes], max_page_count: int | None) -> None:
        self.path = path
        self.clock = clock
        self.mutex = threading.RLock()
        self.epochs: dict[bytes, Epoch] = {}
        """Oldest first."""
        self.current: Epoch | None = None
        self.settled: deque[EpochOwed] = deque(maxlen=MAX_SETTLED_LISTED)
        """Epochs of which nothing is owed any more, as of this start, oldest first."""
        self.records = 0
        self.bytes = 0
        self.counters: dict[str, int] = {}
        self.last_error = ""
        self.generation = 0
        self._urandom = urandom
        self._max_page_count = max_page_count
        self._previous: Reading | None = None
        self._closed = True
        self._ended = False
        self._lock = SpoolLock(path)
        try:
            self.connection = self._open_or_set_aside()
        except BaseException:
            self._lock.release()
            raise

    def epoch_for(self, reading: Reading) -> Epoch:
        """The current epoch, or a new one where there is none yet or the clock stepped back."""
        current = self.current
        if current is not None and clocks.stepped_back(self._previous, reading, current.last_ns):
            self.count("clock_steps")
            log.warning("the clock stepped back by over 1 s: records are numbered in a new epoch from here")
            current = None
        if current is None:
            self._drop_settled()
            current = epoch_rows.begin(self.connection, self._new_name())
            self.epochs[current.epoch] = current
            self.current = current
        self._previous = reading
        return current

    def _new_name(self) -> bytes:
        """A name for an epoch. No other here has its digits, so that their times differ even after a step back."""
        taken = {clocks.epoch_digits(name) for name in (*self.epochs, *(settled.epoch for settled in self.settled))}
        for _ in range(MAX_DRAWS):
            name = self._urandom(16)
            if clocks.epoch_digits(name) not in taken:
                break
        return name

    def _drop_settled(self) -> None:
        """Forgets earlier epochs that owe nothing."""
        settled = [epoch for epoch in self.epochs.values() if epoch.base > epoch.head]
        with transaction(self.connection):
            for epoch in settled:
                self.connection.execute("DELETE FROM epochs WHERE place = ?", (epoch.place,))
        for epoch in settled:
            self.forget(epoch)

    def forget(self, epoch: Epoch) -> None:
        """An epoch owes nothing any more. A collector that lost its state must still hear that this is so."""
        del self.epochs[epoch.epoch]
        if epoch.head:
            self.settled.append(EpochOwed(epoch.epoch, epoch.head + 1, epoch.head))

    def _open_or_set_aside(self) -> sqlite3.Connection:
        """The spool, ready; a file that is broken is set aside first, and whatever was set aside is carried over."""
        try:
            return self._open_whole()
        except (sqlite3.DatabaseError, schema.SpoolCorrupt) as why:
            if not schema.is_corrupt(why):
                raise
            self._set_aside(why)
        return self._open_whole()

    def _open_whole(self) -> sqlite3.Connection:
        known = [epoch for epoch in self.epochs.values() if epoch.head]
        salvage.finish_setting_aside(self.path)
        connection = schema.connect(self.path, self._max_page_count)
        try:
            asides = salvage.unfinished(self.path)
            for aside in asides:
                found = salvage.salvage(aside, connection, known if aside == asides[-1] else ())
                self.count("salvaged", found.records)
                self.count("lost_to_corruption", found.lost)
                done = salvage.finished(aside)
                log.warning("of %s, %d records are carried over, %d given up", done.name, found.records, found.lost)
            self._load(connection)
        except BaseException:
            connection.close()
            raise
        self._closed = False
        return connection

    def _set_aside(self, why: BaseException) -> None:
        try:
            aside = salvage.set_aside(self.path, self.clock.read().wall_ns)
        except OSError as no:
            raise SpoolError(f"the spool {self.path} is corrupt ({why}) and cannot be set aside: {no.strerror}") from no
        self.count("set_aside")
        self.generation += 1
        log.error("the spool %s is corrupt (%s) and is set aside as %s", self.path, why, aside.name)

    def _load(self, connection: sqlite3.Connection) -> None:
        loaded = epoch_rows.load(connection)
        self.epochs = {epoch.epoch: epoch for epoch in loaded.epochs}
        self.records, self.bytes = loaded.records, loaded.bytes
        self.current = None
        self.connection = connection
        try:
            self.epoch_for(self.clock.read())
        except sqlite3.Error as why:
            if schema.is_corrupt(why):
                raise
            self.note(f"no epoch can be begun yet: {why}")

    def guarded(self, work: Callable[[], T]) -> T:
        """Does `work`; where the file turns out to be corrupt, sets it aside and does it once more on the new one."""
        if self._closed and not self._ended:
            self.connection = self._open_or_set_aside()
        try:
            return work()
        except (sqlite3.DatabaseError, schema.SpoolCorrupt) as why:
            if not schema.is_corrupt(why) or self._ended:
                raise
            schema.close(self.connection)
            self._closed = True
            self._set_aside(why)
            self.connection = self._open_or_set_aside()
            return work()

    def count(self, name: str, n: int = 1) -> None:
        """Counts `n` more of `name`; a name that never happened is not listed."""
        if n:
            self.counters[name] = self.counters.get(name, 0) + n

    def note(self, line: str) -> None:
        """Keeps the last error for the status, and logs it once."""
        if line != self.last_error:
            log.error("%s", line)
        self.last_error = line

    def close(self) -> None:
        """Closes the file and lets go of the lock. May be called twice."""
        self._ended = True
        schema.close(self.connection)
        self._lock.release()
