"""What the watch knows, and the changes that it found, in an SQLite file, so that they outlive the collector.

A change is kept before it is told. Levels are kept now and then: what is lost of them makes a change known some runs
later and no more. A file that cannot be read is set aside and begun anew.
"""

import logging
import sqlite3
from array import array
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from tinyprof_collector.regressions.level import Level
from tinyprof_collector.regressions.watch import MAX_BUILDS, Line, LineKey
from tinyprof_collector.sqlite_file import line_of, open_in_memory, open_or_do_without, transaction
from tinyprof_protocol.codec import BadMessage, pack, unpack
from tinyprof_protocol.presence import Regression

log = logging.getLogger(__name__)

MAX_OWED = 1000
"""Changes that a store still has to take; the oldest fall, and are counted."""
MIGRATIONS = (
    """
    CREATE TABLE lines (node TEXT NOT NULL, board TEXT NOT NULL, line BLOB NOT NULL, image BLOB NOT NULL,
        PRIMARY KEY (node, board, line)) WITHOUT ROWID;
    CREATE TABLE owed (id INTEGER PRIMARY KEY, image BLOB NOT NULL)
    """,
)


class _Image(Struct, frozen=True):
    levels: dict[str, tuple[list[int], list[float]]]
    builds: list[tuple[int, str, str]]
    standing: dict[str, Regression]


class WatchFile:
    """Lines and owed changes as rows. For one thread at a time; what cannot be kept is counted in `errors`."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file; where that fails, what a store is owed is kept in memory, and the log says so."""
        self._path = path
        self.errors = 0
        self.dropped = 0
        self._connection = open_or_do_without(path, MIGRATIONS, "regressions", "what is watched")
        self._lasts = self._connection is not None
        if self._connection is None:
            self.errors += 1
            self._connection = open_in_memory(MIGRATIONS)

    def lines(self) -> dict[LineKey, Line]:
        """The lines as they were kept; a row that cannot be read is left out."""
        rows = self._rows("SELECT node, board, line, image FROM lines")
        found = ((row[:3], _line(row[3])) for row in rows)
        return {key: line for key, line in found if line is not None}

    def owed(self) -> list[tuple[int, Regression]]:
        """The changes that a store still has to take, oldest first, each with its number."""
        owed = []
        for number, image in self._rows("SELECT id, image FROM owed ORDER BY id"):
            try:
                owed.append((number, unpack(image, Regression)))
            except BadMessage:
                self.taken([number])
        return owed

    def keep(self, lines: Mapping[LineKey, Line | None], owed: Iterable[Regression] = ()) -> bool:
        """Keeps lines, or (None) forgets them, and what a store is owed, in one transaction. False if it could not."""
        kept = lines if self._lasts else {}
        gone = [key for key, line in kept.items() if line is None]
        rows = [(*key, pack(_image(line))) for key, line in kept.items() if line is not None]
        return self._write(
            ("DELETE FROM lines WHERE node = ? AND board = ? AND line = ?", gone),
            ("INSERT OR REPLACE INTO lines VALUES (?, ?, ?, ?)", rows),
            ("INSERT INTO owed (image) VALUES (?)", [(pack(one),) for one in owed]),
        )

    def taken(self, numbers: Iterable[int]) -> None:
        """A store has taken these."""
        self._write(("DELETE FROM owed WHERE id = ?", [(number,) for number in numbers]))

    def bound(self) -> None:
        """Drops the oldest of what is owed beyond `MAX_OWED`."""
        numbers = [row[0] for row in self._rows("SELECT id FROM owed ORDER BY id DESC")][MAX_OWED:]
        if numbers:
            self.dropped += len(numbers)
            self.taken(numbers)

    def close(self) -> None:
        """Closes the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _rows(self, question: str) -> list[Any]:
        if self._connection is None:
            return []
        try:
            return self._connection.execute(question).fetchall()
        except sqlite3.Error as why:
            self._failed(why)
            return []

    def _write(self, *steps: tuple[str, list[Any]]) -> bool:
        run = self._connection
        if run is None:
            return False
        try:
            with transaction(run):
                for statement, rows in steps:
                    run.executemany(statement, rows)
        except sqlite3.Error as why:
            self._failed(why)
            return False
        return True

    def _failed(self, why: sqlite3.Error) -> None:
        self.errors += 1
        if self.errors == 1:
            log.error("regressions %s: %s: it is tried again", self._path, line_of(why))


def _image(line: Line) -> _Image:
    levels = {metric: (list(level.times), list(level.values)) for metric, level in line.levels.items()}
    return _Image(levels, list(line.builds), dict(line.standing))


def _line(image: object) -> Line | None:
    try:
        read = unpack(bytes(image), _Image) if isinstance(image, bytes) else None
    except BadMessage:
        return None
    if read is None:
        return None
    try:
        levels = {
            metric: Level(array("q", times), array("d", values))
            for metric, (times, values) in read.levels.items()
            if len(times) == len(values)
        }
    except OverflowError:
        return None
    return Line(levels, deque(read.builds, maxlen=MAX_BUILDS), dict(read.standing))
