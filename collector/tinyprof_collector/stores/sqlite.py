"""The embedded store: one SQLite file, unique by (node, epoch, seq), with a run's figures as rows.

The whole encoded record is kept beside them, so that a read gives back what the agent sent. Rows are appended in the
order in which they came; only the small index by board and time is written out of order. That index also has a run's
series (as a signed 64-bit number) and whether a client asked for it, so that runs of one series are found within it.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tinyprof_collector.ledger import StoreCount
from tinyprof_collector.sqlite_file import WrongVersion, line_of, open_durable, roll_back
from tinyprof_collector.stores.sqlite_reader import EVENT, RESULT, SAMPLE, SqliteReader, number_of
from tinyprof_collector.stores.sqlite_rows import write_rows
from tinyprof_collector.stores.store import Answer, Arrival, Refused, StoreFailed
from tinyprof_protocol.bounds import MAX_SEQ
from tinyprof_protocol.records import Result, Sample
from tinyprof_protocol.series import KnownSeries

log = logging.getLogger(__name__)

DAY_NS = 24 * 3600 * 10**9
RETENTION_DAYS = 30.0
TIDY_EVERY_S = 60.0
TIDY_ROWS = 2000
"""Records that one round of deleting takes at most, so that writing never waits long for it."""
MAX_METRICS = 1000
"""Metric names that get rows of their own; a record with others is kept whole all the same."""
MAX_KNOWN = 100_000

MIGRATIONS = (
    """
    CREATE TABLE epochs (id INTEGER PRIMARY KEY, node TEXT NOT NULL, epoch BLOB NOT NULL,
        deleted INTEGER NOT NULL DEFAULT 0, UNIQUE (node, epoch));
    CREATE TABLE boards (id INTEGER PRIMARY KEY, node TEXT NOT NULL, board TEXT NOT NULL,
        results INTEGER NOT NULL DEFAULT 0, valid INTEGER NOT NULL DEFAULT 0,
        unstable INTEGER NOT NULL DEFAULT 0, invalid INTEGER NOT NULL DEFAULT 0, UNIQUE (node, board));
    CREATE TABLE metrics (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE records (id INTEGER PRIMARY KEY, epoch_id INTEGER NOT NULL, seq INTEGER NOT NULL,
        board_id INTEGER NOT NULL, kind INTEGER NOT NULL, time_ns INTEGER NOT NULL, verdict TEXT, run_id BLOB,
        series INTEGER, asked INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (epoch_id, seq));
    CREATE INDEX records_by_board ON records (board_id, kind, time_ns, series, asked);
    CREATE TABLE figures (record_id INTEGER NOT NULL, metric_id INTEGER NOT NULL, value REAL NOT NULL,
        low REAL, high REAL, PRIMARY KEY (record_id, metric_id)) WITHOUT ROWID
    """,
)
# A plain INSERT: what is there already was looked up in the same transaction, and OR IGNORE would also pass over a row
# that breaks another rule, in silence.
INSERT_RECORD = "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_FIGURE = "INSERT INTO figures VALUES (?, ?, ?, ?, ?)"
_TALLY = """UPDATE boards SET results = results + new.column2, valid = valid + new.column3,
    unstable = unstable + new.column4, invalid = invalid + new.column5
    FROM (VALUES (?, ?, ?, ?, ?)) AS new WHERE id = new.column1"""
_COUNT = """SELECT COALESCE(SUM(deleted), 0),
    COALESCE(SUM((SELECT COUNT(*) FROM records r WHERE r.epoch_id = e.id AND r.seq BETWEEN :first AND :last)), 0)
    FROM epochs e WHERE node = :node AND (:epoch IS NULL OR epoch = :epoch)"""
_SEQS_BETWEEN = "SELECT seq FROM records WHERE epoch_id = ? AND seq BETWEEN ? AND ?"
_HAS_SEQ = "SELECT 1 FROM records WHERE epoch_id = ? AND seq = ?"
_TOP = "SELECT COALESCE(MAX(seq), 0) FROM records WHERE epoch_id = ?"
_NEWEST = "SELECT COALESCE(MAX(time_ns), 0) FROM (SELECT time_ns FROM records ORDER BY id DESC LIMIT 1000)"
_ADD_EPOCH = "INSERT OR IGNORE INTO epochs (node, epoch) VALUES (?, ?)"
_FIND_EPOCH = "SELECT id FROM epochs WHERE node = ? AND epoch = ?"
_ADD_BOARD = "INSERT OR IGNORE INTO boards (node, board) VALUES (?, ?)"
_FIND_BOARD = "SELECT id FROM boards WHERE node = ? AND board = ?"
_TO_BLAME = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, ValueError, TypeError, OverflowError)
"""What a record can be blamed for. Any other error is the file's, and holds everything."""
_TALLY_OF = {"valid": 1, "unstable": 2, "invalid": 3}

RecordRow = tuple[int, int, int, int, int, int, str | None, bytes | None, int | None, bool, bytes]
FigureRow = tuple[int, int, float, float | None, float | None]


class SqliteStore:
    """Writes from one thread; `read` opens a connection of its own for any other."""

    name = "sqlite"

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
        retention_days: float | None = RETENTION_DAYS,
        max_bytes: int | None = None,
        busy_timeout_ms: int | None = None,
    ) -> None:
        """Opens or makes the file. `retention_days` None keeps for ever; `max_bytes` bounds the file.

        Raises StoreFailed when it cannot be opened: it is never set aside, because it is what everything rests on.
        """
        self._path = path
        self._clock = clock
        self._monotonic = monotonic
        self._retention_ns = None if retention_days is None else int(retention_days * DAY_NS)
        self._error: str | None = None
        self._newest_ns: int = 0
        self._tidy_error: str | None = None
        self._tidy_at = monotonic()
        self._series = KnownSeries()
        try:
            self._connection = open_durable(path, MIGRATIONS)
            self._connection.execute("PRAGMA cache_size = -65536")
            if busy_timeout_ms is not None:
                self._connection.execute(f"PRAGMA busy_timeout = {int(busy_timeout_ms)}")
            if max_bytes is not None:
                page = self._connection.execute("PRAGMA page_size").fetchone()[0]
                self._connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page)}")
            self._read_ids()
        except (sqlite3.Error, OSError, WrongVersion) as why:
            raise StoreFailed(f"store {path}: {line_of(why)}") from why

    # ---- the store's four promises

    def check(self) -> str | None:
        """What is wrong, in a line; None if the last write went well and the file answers."""
        if self._error is not None or self._tidy_error is not None:
            return self._error or self._tidy_error
        try:
            self._connection.execute("SELECT 1 FROM epochs LIMIT 1").fetchone()
        except sqlite3.Error as why:
            return f"store {self._path}: {line_of(why)}"
        return None

    def prepare(self, _arrivals: Sequence[Arrival]) -> bool:
        """Nothing is made ahead: rows need the numbers of epochs and boards."""
        return False

    def write(self, arrivals: Sequence[Arrival]) -> list[Answer]:
        """Writes all in one transaction. Raises StoreFailed when the file takes nothing now."""
        try:
            try:
                answers = self._write(arrivals)
            except _TO_BLAME:
                self._roll_back()
                answers = [self._write_alone(arrival) for arrival in arrivals]
        except sqlite3.Error as why:
            self._roll_back()
            self._error = f"store {self._path}: {line_of(why)}"
            raise StoreFailed(self._error) from why
        self._error = None
        self._tidy_if_due()
        return answers

    def read(self) -> SqliteReader:
        """A reader for the calling thread. Raises StoreFailed."""
        return SqliteReader(self._path)

    def count(self, node: str, epoch: bytes | None = None, first: int = 1, last: int = MAX_SEQ) -> StoreCount:
        """Records of a node, an epoch or some seqs of it that are there, and those that retention deleted.

        Raises StoreFailed.
        """
        bound = {"node": node, "epoch": epoch, "first": first, "last": last}
        try:
            deleted, held = self._connection.execute(_COUNT, bound).fetchone()
        except sqlite3.Error as why:
            raise StoreFailed(f"store {self._path}: {line_of(why)}") from why
        return StoreCount(held, deleted)

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    # ---- writing

    def _write(self, arrivals: Sequence[Arrival]) -> list[Answer]:
        if not self._ids_known:
            self._read_ids()
        newest_ns = max(self._newest_ns, max((arrival.record.time_ns for arrival in arrivals), default=0))
        oldest_ns = -(2**63) if self._retention_ns is None else self._oldest_ns(newest_ns)
        self._connection.execute("BEGIN IMMEDIATE")
        answers: list[Answer] = []
        records: list[RecordRow] = []
        figures: list[FigureRow] = []
        tallies: dict[int, list[int]] = {}
        there, tops = self._held(arrivals)
        node, epoch = "", b""
        for arrival in arrivals:
            if arrival.epoch != epoch or arrival.node != node:
                node, epoch = arrival.node, arrival.epoch
                epoch_id, held = there[node, epoch]
            if arrival.seq in held:
                answers.append("held")
            elif arrival.record.time_ns < oldest_ns:
                answers.append("expired")
            else:
                held.add(arrival.seq)
                self._add_rows(arrival, epoch_id, records, figures, tallies)
                answers.append("stored")
        write_rows(self._connection, INSERT_RECORD, records)
        write_rows(self._connection, INSERT_FIGURE, figures)
        write_rows(self._connection, _TALLY, [(board_id, *tally) for board_id, tally in tallies.items()])
        self._connection.execute("COMMIT")
        self._tops.update(tops)
        self._newest_ns = newest_ns
        return answers

    def _oldest_ns(self, newest_ns: int) -> int:
        """What lies before is past the retention. A clock of ours that runs ahead of all records deletes nothing."""
        return min(self._clock(), newest_ns) - (self._retention_ns or 0)

    def _add_rows(
        self,
        arrival: Arrival,
        epoch_id: int,
        records: list[RecordRow],
        figures: list[FigureRow],
        tallies: dict[int, list[int]],
    ) -> None:
        record = arrival.record
        body = record.body
        record_id = self._next_id
        self._next_id += 1
        board = (arrival.node, body.board or "")
        board_id = self._boards.get(board) or self._board_id(board)
        kind, verdict, run_id, series, asked = EVENT, None, None, None, False
        if isinstance(body, Result):
            kind, verdict, run_id = RESULT, body.verdict, body.run_id
            series, asked = number_of(self._series.of(body)), body.job_id is not None
            tally = tallies.get(board_id) or tallies.setdefault(board_id, [0, 0, 0, 0])
            tally[0] += 1
            tally[_TALLY_OF[verdict]] += 1
            metrics = self._known_metrics(body.figures)
            for name, figure in body.figures.items():
                if name in metrics:
                    figures.append((record_id, metrics[name], figure.value, figure.low, figure.high))
        elif isinstance(body, Sample):
            kind = SAMPLE
            metrics = self._known_metrics(body.readings)
            for name, value in body.readings.items():
                if name in metrics:
                    figures.append((record_id, metrics[name], value, None, None))
        records.append(
            (
                record_id,
                epoch_id,
                arrival.seq,
                board_id,
                kind,
                record.time_ns,
                verdict,
                run_id,
                series,
                asked,
                arrival.data,
            )
        )

    def _write_alone(self, arrival: Arrival) -> Answer:
        try:
            return self._write([arrival])[0]
        except _TO_BLAME as why:
            self._roll_back()
            return Refused(f"the store {self.name} refuses it: {line_of(why)}")

    def _held(
        self, arrivals: Sequence[Arrival]
    ) -> tuple[dict[tuple[str, bytes], tuple[int, set[int]]], dict[tuple[str, bytes], int]]:
        """The id of each epoch with those of the seqs that come now and are there already, and each epoch's new top.

        One question an epoch; none where all that comes lies above the highest seq that the epoch ever had.
        """
        coming: dict[tuple[str, bytes], list[int]] = {}
        for arrival in arrivals:
            coming.setdefault((arrival.node, arrival.epoch), []).append(arrival.seq)
        found: dict[tuple[str, bytes], tuple[int, set[int]]] = {}
        tops: dict[tuple[str, bytes], int] = {}
        for key, seqs in coming.items():
            epoch_id = self._epoch_id(key)
            first, last = min(seqs), max(seqs)
            top = self._tops.get(key)
            if top is None:
                top = self._connection.execute(_TOP, (epoch_id,)).fetchone()[0]
            tops[key] = max(top, last)
            if first > top:
                found[key] = epoch_id, set()
            elif last - first < 4 * len(seqs):
                rows = self._connection.execute(_SEQS_BETWEEN, (epoch_id, first, last))
                found[key] = epoch_id, {seq for (seq,) in rows}
            else:
                known = {seq for seq in seqs if self._connection.execute(_HAS_SEQ, (epoch_id, seq)).fetchone()}
                found[key] = epoch_id, known
        return found, tops

    def _roll_back(self) -> None:
        """Ids that were given within the transaction are gone with it: they are read again before the next write."""
        roll_back(self._connection)
        self._ids_known = False

    # ---- ids of epochs, boards and metrics

    def _read_ids(self) -> None:
        self._epochs: dict[tuple[str, bytes], int] = {}
        self._tops: dict[tuple[str, bytes], int] = {}
        self._boards: dict[tuple[str, str], int] = {}
        self._metrics: dict[str, int] = dict(self._connection.execute("SELECT name, id FROM metrics").fetchall())
        self._newest_ns = int(self._connection.execute(_NEWEST).fetchone()[0])
        self._next_id: int = self._connection.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM records").fetchone()[0]
        self._ids_known = True

    def _epoch_id(self, key: tuple[str, bytes]) -> int:
        known = self._epochs.get(key)
        if known is None:
            if len(self._epochs) >= MAX_KNOWN:
                self._epochs.clear()
                self._tops.clear()
            known = self._epochs[key] = self._intern(_ADD_EPOCH, _FIND_EPOCH, key)
        return known

    def _board_id(self, key: tuple[str, str]) -> int:
        known = self._boards.get(key)
        if known is None:
            if len(self._boards) >= MAX_KNOWN:
                self._boards.clear()
            known = self._boards[key] = self._intern(_ADD_BOARD, _FIND_BOARD, key)
        return known

    def _intern(self, add: str, find: str, key: tuple[str, str | bytes]) -> int:
        self._connection.execute(add, key)
        return int(self._connection.execute(find, key).fetchone()[0])

    def _known_metrics(self, names: Mapping[str, object]) -> dict[str, int]:
        """Ids of metrics by name, those of `names` among them as far as there is room."""
        known = self._metrics
        for name in names:
            if name not in known and len(known) < MAX_METRICS:
                self._connection.execute("INSERT OR IGNORE INTO metrics (name) VALUES (?)", (name,))
                found = self._connection.execute("SELECT id FROM metrics WHERE name = ?", (name,)).fetchone()
                known[name] = int(found[0])
        return known

    # ---- retention

    def _tidy_if_due(self) -> None:
        if self._retention_ns is None or self._monotonic() < self._tidy_at:
            return
        deleted = 0
        try:
            deleted = self.tidy()
        except sqlite3.Error as why:
            # What was just written is safe, and must not be held, or pass for old, because deleting failed.
            self._roll_back()
            self._tidy_error = f"store {self._path}: what is past its retention cannot be deleted: {line_of(why)}"
        else:
            self._tidy_error = None
        self._tidy_at = self._monotonic() + (0.0 if deleted >= TIDY_ROWS else TIDY_EVERY_S)

    def tidy(self) -> int:
        """Deletes up to 2,000 records that are older than the retention, and counts them by epoch; returns how many."""
        if self._retention_ns is None:
            return 0
        oldest_ns = self._oldest_ns(self._newest_ns)
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        old: list[tuple[int, int]] = []
        for (board_id,) in run("SELECT id FROM boards").fetchall():
            for kind in (RESULT, SAMPLE, EVENT):
                sql = "SELECT id, epoch_id FROM records WHERE board_id = ? AND kind = ? AND time_ns < ? LIMIT ?"
                old += run(sql, (board_id, kind, oldest_ns, TIDY_ROWS - len(old))).fetchall()
            if len(old) >= TIDY_ROWS:
                break
        by_epoch: dict[int, int] = {}
        for _, epoch_id in old:
            by_epoch[epoch_id] = by_epoch.get(epoch_id, 0) + 1
        ids = [(record_id,) for record_id, _ in old]
        self._connection.executemany("DELETE FROM figures WHERE record_id = ?", ids)
        self._connection.executemany("DELETE FROM records WHERE id = ?", ids)
        counts = [(n, epoch_id) for epoch_id, n in by_epoch.items()]
        self._connection.executemany("UPDATE epochs SET deleted = deleted + ? WHERE id = ?", counts)
        run("COMMIT")
        return len(old)
