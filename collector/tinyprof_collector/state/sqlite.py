"""The accounting in an SQLite file of its own. One process holds it, so that what it writes is all there is.

A file that cannot be read is set aside and begun anew: the promises then rest on the stores, which hold a seq once,
and on each batch's base, below which the agent was told that all is accounted.
"""

import logging
import sqlite3
from pathlib import Path
from typing import TypeVar

import msgspec

from tinyprof_collector.accounting import AccountImage
from tinyprof_collector.ledger_image import Changes, LedgerImage, NodeTotals
from tinyprof_collector.sqlite_file import WrongVersion, line_of, open_or_set_aside, transaction
from tinyprof_collector.state.state import StateFailed
from tinyprof_collector.stores.sqlite_rows import write_rows

log = logging.getLogger(__name__)
T = TypeVar("T")

MIGRATIONS = (
    """
    CREATE TABLE accounts (node TEXT NOT NULL, epoch BLOB NOT NULL, image BLOB NOT NULL, PRIMARY KEY (node, epoch))
    WITHOUT ROWID;
    CREATE TABLE totals (node TEXT PRIMARY KEY, image BLOB NOT NULL) WITHOUT ROWID
    """,
)


class SqliteState:
    """Keeps accounts as rows, one an epoch."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file. Raises StateFailed if another process holds it or there is no room."""
        self._path = path
        self._error: str | None = None
        self.set_aside: Path | None = None
        """Where an unreadable file went when this one was begun anew."""
        try:
            self._connection, self.set_aside = open_or_set_aside(path, MIGRATIONS)
        except (sqlite3.Error, OSError, WrongVersion) as why:
            raise StateFailed(f"state {path}: {_why_not_opened(why)}") from why
        if self.set_aside is not None:
            log.error("state %s could not be read and was set aside as %s", path, self.set_aside.name)

    def load(self) -> LedgerImage:
        """All that was kept; a row that cannot be read counts as lost. Raises StateFailed."""
        try:
            accounts = self._connection.execute("SELECT image FROM accounts ORDER BY node, epoch").fetchall()
            totals = self._connection.execute("SELECT image FROM totals ORDER BY node").fetchall()
        except sqlite3.Error as why:
            raise StateFailed(f"state {self._path}: {line_of(why)}") from why
        return LedgerImage(_readable(accounts, AccountImage), _readable(totals, NodeTotals))

    def keep(self, changes: Changes) -> None:
        """Keeps all changes in one transaction. Raises StateFailed; then nothing of them is kept."""
        pack = msgspec.msgpack.encode
        accounts = [(image.node, image.epoch, pack(image)) for image in changes.accounts]
        totals = [(image.node, pack(image)) for image in changes.totals]
        run = self._connection
        try:
            with transaction(run):
                write_rows(run, "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?)", accounts)
                run.executemany("INSERT OR REPLACE INTO totals VALUES (?, ?)", totals)
                run.executemany("DELETE FROM accounts WHERE node = ? AND epoch = ?", changes.gone)
        except sqlite3.Error as why:
            self._error = f"state {self._path}: {line_of(why)}"
            raise StateFailed(self._error) from why
        self._error = None

    def check(self) -> str | None:
        """What was wrong with the last write, in a line; None if nothing was."""
        return self._error

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()


def _why_not_opened(why: BaseException) -> str:
    """SQLite's own words name neither who holds the file nor what to do."""
    code = getattr(why, "sqlite_errorcode", None)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "another process holds it: stop that collector, or give this one another state_dir"
    if code == sqlite3.SQLITE_CANTOPEN:
        return f"{line_of(why)}: is its folder one that may be written?"
    return line_of(why)


def _readable(rows: list[tuple[bytes]], kind: type[T]) -> list[T]:
    images = []
    for (data,) in rows:
        try:
            images.append(msgspec.msgpack.decode(data, type=kind))
        except msgspec.MsgspecError as why:
            log.error("a row of the state cannot be read and counts as lost: %s", line_of(why))
    return images
