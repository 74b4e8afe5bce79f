"""The cache's entries in an SQLite file, so that they outlive the collector.

What is lost here costs a run and no more: writes are not forced to the disk one by one, a file that cannot be read is
set aside and begun anew, and where there is no room the cache lives in memory alone.
"""

import logging
import sqlite3
import zlib
from pathlib import Path

from tinyprof_collector.cache.cache import Rows
from tinyprof_collector.cache.entry import Entry
from tinyprof_collector.cache.key import KEY_BYTES
from tinyprof_collector.cache.lru import Held
from tinyprof_collector.sqlite_file import line_of, open_or_do_without, transaction
from tinyprof_protocol.codec import BadMessage, pack, unpack

log = logging.getLogger(__name__)

MIGRATIONS = (
    """
    CREATE TABLE entries (key BLOB PRIMARY KEY, used INTEGER NOT NULL, born_ns INTEGER NOT NULL, hits INTEGER NOT NULL,
    image BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX entries_used ON entries (used)
    """,
)


class CacheFile:
    """Entries as rows, numbered in the order of their use. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file; where that fails it keeps nothing, and says so in the log."""
        self._path = path
        self._used = 0
        self.errors = 0
        """Times that changes could not be kept."""
        self._connection = open_or_do_without(path, MIGRATIONS, "cache", "the cache")
        if self._connection is None:
            self.errors += 1
        else:
            self._connection.execute("PRAGMA synchronous = NORMAL")

    def load(self) -> Rows:
        """What was kept, the next to go first; a row that cannot be read is left out."""
        if self._connection is None:
            return []
        rows: Rows = []
        try:
            for key, used, born_ns, hits, image, crc in self._connection.execute(
                "SELECT key, used, born_ns, hits, image, crc FROM entries ORDER BY used"
            ):
                row = _row(key, born_ns, hits, image, crc)
                if row is not None and isinstance(used, int):
                    self._used = max(self._used, used)
                    rows.append(row)
        except sqlite3.Error as why:
            self._failed(why)
        return rows

    def keep(self, rows: Rows, gone: list[bytes], *, everything: bool) -> bool:
        """Keeps `rows` in this order of use and forgets `gone`; with `everything` the rows are all there is."""
        if self._connection is None:
            return True
        run = self._connection
        try:
            with transaction(run):
                if everything:
                    run.execute("DELETE FROM entries")
                run.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?)", map(self._row, rows))
                run.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in gone])
        except sqlite3.Error as why:
            self._failed(why)
            return False
        return True

    def news(self) -> Rows:
        """Nothing: one collector alone has the file."""
        return []

    def _row(self, row: tuple[bytes, Held[Entry]]) -> tuple[bytes, int, int, int, bytes, int]:
        key, held = row
        self._used += 1
        image = pack(held.value)
        return key, self._used, held.born_ns, held.hits, image, _crc(key, held.born_ns, image)

    def _failed(self, why: sqlite3.Error) -> None:
        self.errors += 1
        if self.errors == 1:
            log.error("cache %s: %s: it is tried again", self._path, line_of(why))

    def close(self) -> None:
        """Closes the file."""
        if self._connection is not None:
            self._connection.close()


def _crc(key: bytes, born_ns: int, image: bytes) -> int:
    """Over all that decides what is answered, and for how long."""
    return zlib.crc32(image, zlib.crc32(b"%d " % born_ns, zlib.crc32(key)))


def _row(key: object, born_ns: object, hits: object, image: object, crc: object) -> tuple[bytes, Held[Entry]] | None:
    """A row as it was kept; None for one of which anything is other, be it its type."""
    if not (isinstance(key, bytes) and isinstance(born_ns, int) and isinstance(hits, int) and isinstance(image, bytes)):
        return None
    if len(key) != KEY_BYTES or _crc(key, born_ns, image) != crc:
        return None
    try:
        return key, Held(unpack(image, Entry), born_ns, hits)
    except BadMessage:
        return None
