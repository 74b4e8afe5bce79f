"""Reads of the SQLite store, on a read-only connection of the reader's own."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tinyprof_collector.sqlite_file import line_of
from tinyprof_collector.stores.store import BoardLatest, RunSeen, StoreFailed
from tinyprof_protocol.codec import BadMessage, unpack
from tinyprof_protocol.jobs import Point
from tinyprof_protocol.presence import SPARK_POINTS
from tinyprof_protocol.records import Record

T = TypeVar("T")
RESULT, SAMPLE, EVENT = 0, 1, 2

_POINTS_OF_KIND = """
    SELECT * FROM (
        SELECT r.time_ns, f.value, f.low, f.high, r.verdict, r.run_id
        FROM records r JOIN figures f ON f.record_id = r.id AND f.metric_id = :metric
        WHERE r.board_id = :board AND r.kind = {kind} AND r.time_ns >= :since
        ORDER BY r.time_ns DESC LIMIT :limit)
"""
_HISTORY = f"""
    {_POINTS_OF_KIND.format(kind=RESULT)} UNION ALL {_POINTS_OF_KIND.format(kind=SAMPLE)}
    ORDER BY time_ns DESC LIMIT :limit
"""
_NEWEST_RUNS = """
    SELECT r.time_ns, r.verdict, f.value FROM records r
    LEFT JOIN figures f ON f.record_id = r.id AND f.metric_id = (SELECT id FROM metrics WHERE name = 'decode_tps')
    WHERE r.board_id = ? AND r.kind = ? ORDER BY r.time_ns DESC LIMIT ?
"""
_NEWEST = "SELECT data FROM records WHERE board_id = ? AND kind = ? ORDER BY time_ns DESC LIMIT ?"


class SqliteReader:
    """Reads what was committed when each read began; writing goes on meanwhile."""

    def __init__(self, path: Path) -> None:
        """Opens the file for reading only. Raises StoreFailed."""
        self._path = path
        self._connection = self._guarded(
            lambda: sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
        )

    def history(self, node: str, board: str, metric: str, since_ns: int = 0, limit: int = 500) -> list[Point]:
        """The newest `limit` points of a metric since a time, oldest first. Raises StoreFailed."""
        board_id = self._one("SELECT id FROM boards WHERE node = ? AND board = ?", node, board)
        metric_id = self._one("SELECT id FROM metrics WHERE name = ?", metric)
        if board_id is None or metric_id is None:
            return []
        bound = {"board": board_id, "metric": metric_id, "since": since_ns, "limit": limit}
        rows = self._guarded(lambda: self._connection.execute(_HISTORY, bound).fetchall())
        return [
            Point(time_ns, value, low, high, verdict or "", run_id or b"")
            for time_ns, value, low, high, verdict, run_id in reversed(rows)
        ]

    def runs(self, node: str, board: str, limit: int = 32) -> list[Record]:
        """The newest results of a board, newest first. Raises StoreFailed."""
        board_id = self._one("SELECT id FROM boards WHERE node = ? AND board = ?", node, board)
        return [] if board_id is None else self._newest(board_id, RESULT, limit)

    def latest(self, node: str | None = None) -> list[BoardLatest]:
        """Every board (of a node), with the newest that is known of it. Raises StoreFailed."""
        sql = "SELECT id, node, board, results, valid, unstable, invalid FROM boards WHERE board <> ''"
        if node is not None:
            sql += " AND node = :node"
        rows = self._guarded(lambda: self._connection.execute(f"{sql} ORDER BY node, board", {"node": node}).fetchall())
        boards = []
        for board_id, name, board, *tallies in rows:
            latest = BoardLatest(name, board)
            latest.result = next(iter(self._newest(board_id, RESULT, 1)), None)
            latest.sample = next(iter(self._newest(board_id, SAMPLE, 1)), None)
            latest.newest = self._newest_runs(board_id)
            latest.results, latest.valid, latest.unstable, latest.invalid = tallies
            boards.append(latest)
        return boards

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, why: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _newest(self, board_id: int, kind: int, limit: int) -> list[Record]:
        rows = self._guarded(lambda: self._connection.execute(_NEWEST, (board_id, kind, limit)).fetchall())
        records = []
        for (data,) in rows:
            try:
                records.append(unpack(data, Record))
            except BadMessage as why:
                raise StoreFailed(f"store {self._path}: a record cannot be read: {why}") from why
        return records

    def _newest_runs(self, board_id: int) -> list[RunSeen]:
        bound = (board_id, RESULT, SPARK_POINTS)
        rows = self._guarded(lambda: self._connection.execute(_NEWEST_RUNS, bound).fetchall())
        return [RunSeen(*row) for row in reversed(rows)]

    def _one(self, sql: str, *bound: str) -> int | None:
        row = self._guarded(lambda: self._connection.execute(sql, bound).fetchone())
        return None if row is None else int(row[0])

    def _guarded(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except sqlite3.Error as why:
            raise StoreFailed(f"store {self._path}: {line_of(why)}") from why
