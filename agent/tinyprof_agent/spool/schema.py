"""The spool's file: its tables, its version, its pragmas, and which errors mean that it is broken."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tinyprof_agent.spool.rows import SpoolError

VERSION: Final = 1
MAX_WAL_BYTES: Final = 8 * 1024 * 1024

_TABLES = """
CREATE TABLE epochs (
    place INTEGER PRIMARY KEY, epoch BLOB NOT NULL UNIQUE, next_seq INTEGER NOT NULL, base INTEGER NOT NULL,
    last_ns INTEGER NOT NULL) STRICT;
CREATE TABLE records (
    key INTEGER PRIMARY KEY, class INTEGER NOT NULL, epoch BLOB NOT NULL, boot BLOB NOT NULL,
    boottime_ns INTEGER NOT NULL, time_ns INTEGER, estimated INTEGER NOT NULL, crc INTEGER NOT NULL,
    body BLOB NOT NULL) STRICT;
CREATE INDEX records_by_class ON records (class);
CREATE TABLE evicted (
    place INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, cause TEXT NOT NULL,
    PRIMARY KEY (place, first)) STRICT, WITHOUT ROWID;
CREATE TABLE jobs (
    id BLOB PRIMARY KEY, deadline_ns INTEGER NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL,
    job BLOB NOT NULL) STRICT, WITHOUT ROWID;
"""
_MIGRATIONS: dict[int, str] = {}
"""From a version to the next: the statements that do it. A change of the tables adds one and raises VERSION."""

_CORRUPT = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
}


class SpoolCorrupt(Exception):
    """The file opens but is not a whole spool."""


def connect(path: Path, max_page_count: int | None = None) -> sqlite3.Connection:
    """Opens the spool, made or migrated as need be, and proves that it is whole.

    Raises SpoolCorrupt or sqlite3.DatabaseError where it is not, SpoolError where it cannot be used at all.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        _set_pragmas(connection, max_page_count)
        _make_or_migrate(connection, path)
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise SpoolCorrupt(str(found))
    except BaseException:
        connection.close()
        raise
    return connection


def _set_pragmas(connection: sqlite3.Connection, max_page_count: int | None) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    connection.execute("PRAGMA synchronous = FULL")
    synchronous = connection.execute("PRAGMA synchronous").fetchone()[0]
    if mode != "wal" or synchronous != 2:
        raise SpoolError(
            f"SQLite gives journal mode {mode} and synchronous {synchronous} here, not wal and FULL (2): "
            "put state_dir on a local file system"
        )
    connection.execute(f"PRAGMA journal_size_limit = {MAX_WAL_BYTES}")
    connection.execute("PRAGMA cell_size_check = ON")
    if max_page_count is not None:
        connection.execute(f"PRAGMA max_page_count = {max_page_count}")


def _make_or_migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise SpoolError(f"the spool {path} has version {version}, this agent knows {VERSION}: run a newer tinyprof")
    if version == 0:
        if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            raise SpoolCorrupt("tables without a version")
        _run(connection, _TABLES, VERSION)
    while 0 < version < VERSION:
        _run(connection, _MIGRATIONS[version], version + 1)
        version += 1
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
    if not {"epochs", "records", "evicted", "jobs", "records_by_class"} <= names:
        raise SpoolCorrupt("a table is not there")


def _run(connection: sqlite3.Connection, statements: str, version: int) -> None:
    with transaction(connection):
        for statement in statements.split(";"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version}")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction that holds the write lock from its start; rolled back on any exception, COMMIT's own included."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise


def is_corrupt(why: BaseException) -> bool:
    """Whether an error says that the file is broken, and not merely that there is no room or no right to write."""
    if isinstance(why, SpoolCorrupt):
        return True
    code = getattr(why, "sqlite_errorcode", None)
    if code is None:
        return False
    return code in _CORRUPT or code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def close(connection: sqlite3.Connection, guard: Callable[[BaseException], None] | None = None) -> None:
    """Closes; what SQLite says to it is told to `guard` and goes no further."""
    try:
        connection.close()
    except sqlite3.Error as why:
        if guard is not None:
            guard(why)
