"""SQLite files of the collector: opened durably, with a schema version, set aside when they cannot be read."""

import contextlib
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

log = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 5000


class WrongVersion(Exception):
    """The file was written by a newer version of tinyprof; the message says so."""


def open_durable(path: Path, migrations: Sequence[str], *, exclusive: bool = False) -> sqlite3.Connection:
    """Opens `path` with WAL and `synchronous=FULL`, and brings its schema up to date.

    `migrations[n]` leads from schema version n to n + 1, each in one transaction. With `exclusive`, a second process
    is refused. Transactions are begun and committed by the caller. Raises sqlite3.Error and WrongVersion.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS if not exclusive else 0}")
        if exclusive:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection, path, migrations)
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        level = connection.execute("PRAGMA synchronous").fetchone()[0]
        if (mode, level) != ("wal", 2):
            raise sqlite3.OperationalError(f"{path}: journal {mode}, synchronous {level}: not durable")
    except BaseException:
        connection.close()
        raise
    return connection


def open_or_set_aside(path: Path, migrations: Sequence[str]) -> tuple[sqlite3.Connection, Path | None]:
    """As `open_durable`, for one process; a file that is no readable database is renamed and a new one begun.

    Returns the connection and where the old file went. Raises sqlite3.OperationalError (locked, no room) and
    WrongVersion, which are no reason to set anything aside.
    """
    try:
        connection = open_durable(path, migrations, exclusive=True)
        try:
            if connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok":
                return connection, None
        except sqlite3.DatabaseError:
            pass
        connection.close()
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        pass
    aside = set_aside(path)
    return open_durable(path, migrations, exclusive=True), aside


def open_or_do_without(path: Path, migrations: Sequence[str], name: str, lost: str) -> sqlite3.Connection | None:
    """As `open_or_set_aside`, for what the collector can do without: None where it cannot be opened.

    What went wrong is said in the log, of `name`, with what is `lost` by it.
    """
    try:
        connection, aside = open_or_set_aside(path, migrations)
    except (sqlite3.Error, OSError, WrongVersion) as why:
        log.error("%s %s: %s: %s will not outlive this collector", name, path, line_of(why), lost)
        return None
    if aside is not None:
        log.error("%s %s could not be read and was set aside as %s", name, path, aside.name)
    return connection


def open_in_memory(migrations: Sequence[str]) -> sqlite3.Connection:
    """A database with the newest schema that lasts as long as this collector."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _migrate(connection, Path(":memory:"), migrations)
    return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction that holds the write lock from its start, rolled back on any exception. Raises sqlite3.Error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


def roll_back(connection: sqlite3.Connection) -> None:
    """Ends a transaction, if one is open, whatever the file is like."""
    with contextlib.suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def set_aside(path: Path) -> Path:
    """Renames a database, and what belongs to it, to the first free name with `.corrupt-N`; returns that name."""
    number = 1
    while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + suffix))
    return aside


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(migrations):
        raise WrongVersion(
            f"{path} has schema version {version}, this tinyprof knows up to {len(migrations)}: use a newer one"
        )
    for number in range(version, len(migrations)):
        connection.executescript(f"BEGIN IMMEDIATE;{migrations[number]};PRAGMA user_version = {number + 1};COMMIT;")


def line_of(why: BaseException) -> str:
    """An error as one line."""
    return (" ".join(str(why).split()) or type(why).__name__)[:300]
