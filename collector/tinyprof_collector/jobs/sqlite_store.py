"""Jobs in an SQLite file of its own. One that cannot be read is set aside: clients ask again by the same ids."""

import contextlib
import logging
import sqlite3
from pathlib import Path

from msgspec import MsgspecError

from tinyprof_collector.jobs.entry import KeptJob
from tinyprof_collector.jobs.store import JobChanges, JobStoreFailed, TakenByOthers
from tinyprof_collector.sqlite_file import WrongVersion, line_of, open_or_set_aside
from tinyprof_protocol.codec import BadMessage, pack, unpack

log = logging.getLogger(__name__)

MIGRATIONS = (
    """
    CREATE TABLE jobs (id BLOB PRIMARY KEY, asked_ns INTEGER NOT NULL, image BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE results (run_id BLOB PRIMARY KEY, record BLOB NOT NULL) STRICT, WITHOUT ROWID
    """,
)


class SqliteJobStore:
    """Keeps a job as a row."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file. Raises JobStoreFailed if another process holds it or there is no room."""
        self._path = path
        try:
            self._connection, self.set_aside = open_or_set_aside(path, MIGRATIONS)
        except (sqlite3.Error, OSError, WrongVersion) as why:
            raise JobStoreFailed(f"jobs {path}: {line_of(why)}") from why
        if self.set_aside is not None:
            log.error("jobs %s could not be read and were set aside as %s", path, self.set_aside.name)

    def load(self) -> list[KeptJob]:
        """All that was kept, as it was asked for; a row that cannot be read counts as lost. Raises JobStoreFailed."""
        try:
            rows = self._connection.execute("SELECT image FROM jobs ORDER BY asked_ns, id").fetchall()
        except sqlite3.Error as why:
            raise JobStoreFailed(f"jobs {self._path}: {line_of(why)}") from why
        kept = []
        for (image,) in rows:
            try:
                kept.append(unpack(image, KeptJob))
            except (BadMessage, MsgspecError) as why:
                log.error("a job cannot be read and counts as lost: %s", line_of(why))
        return kept

    def keep(self, changes: JobChanges) -> None:
        """Keeps all changes in one transaction. Raises JobStoreFailed; then nothing of them is kept."""
        run = self._connection
        try:
            run.execute("BEGIN IMMEDIATE")
            run.executemany(
                "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?)",
                [(kept.request.job.id, kept.asked_ns, pack(kept)) for kept in changes.jobs],
            )
            run.executemany("INSERT OR REPLACE INTO results VALUES (?, ?)", changes.results)
            run.executemany("DELETE FROM jobs WHERE id = ?", [(job_id,) for job_id in changes.gone])
            run.executemany("DELETE FROM results WHERE run_id = ?", [(run_id,) for run_id in changes.results_gone])
            run.execute("COMMIT")
        except sqlite3.Error as why:
            with contextlib.suppress(sqlite3.Error):
                if run.in_transaction:
                    run.execute("ROLLBACK")
            raise JobStoreFailed(f"jobs {self._path}: {line_of(why)}") from why

    def result(self, run_id: bytes) -> bytes | None:
        """The packed record of a run's result. Raises JobStoreFailed."""
        try:
            row = self._connection.execute("SELECT record FROM results WHERE run_id = ?", (run_id,)).fetchone()
        except sqlite3.Error as why:
            raise JobStoreFailed(f"jobs {self._path}: {line_of(why)}") from why
        return None if row is None else bytes(row[0])

    def taken(self) -> TakenByOthers | None:
        """None: the file is of one collector."""
        return None

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()
