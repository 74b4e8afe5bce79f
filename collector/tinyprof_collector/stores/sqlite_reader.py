"""Reads of the SQLite store, on a read-only connection of the reader's own."""

import sqlite3
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tinyprof_collector.sqlite_file import line_of
from tinyprof_collector.stores.store import BoardLatest, RunSeen, StoreFailed
from tinyprof_protocol.codec import BadMessage, unpack
from tinyprof_protocol.presence import SPARK_POINTS
from tinyprof_protocol.records import Record, Result
from tinyprof_protocol.requests import Point
from tinyprof_protocol.series import SeriesSeen, describe

T = TypeVar("T")
RESULT, SAMPLE, EVENT = 0, 1, 2
MAX_OTHERS = 100_000

_POINTS_OF_KIND = """
    SELECT * FROM (
        SELECT r.time_ns, f.value, f.low, f.high, r.verdict, r.run_id, r.series
        FROM records r JOIN figures f ON f.record_id = r.id AND f.metric_id = :metric
        WHERE r.board_id = :board AND r.kind = {kind} AND r.time_ns >= :since {which}
        ORDER BY r.time_ns DESC LIMIT :limit)
"""
_HISTORY = f"""
    {{runs}} UNION ALL {_POINTS_OF_KIND.format(kind=SAMPLE, which="")}
    ORDER BY time_ns DESC LIMIT :limit
"""
_HISTORY_OF_ALL = _HISTORY.format(runs=_POINTS_OF_KIND.format(kind=RESULT, which=""))
_HISTORY_OF_ONE = _HISTORY.format(runs=_POINTS_OF_KIND.format(kind=RESULT, which="AND r.series = :series"))
_OTHERS = """
    SELECT COUNT(*) FROM (
        SELECT 1 FROM records r JOIN figures f ON f.record_id = r.id AND f.metric_id = :metric
        WHERE r.board_id = :board AND r.kind = :result AND r.time_ns >= :since AND r.series <> :series LIMIT :most)
"""
_NEWEST_SCHEDULED = """SELECT series, time_ns FROM records WHERE board_id = ? AND kind = ? AND NOT asked
    ORDER BY time_ns DESC LIMIT 1"""
_NEWEST_SERIES = "SELECT series, NULL FROM records WHERE board_id = ? AND kind = ? ORDER BY time_ns DESC LIMIT 1"
_NEWEST_RUNS = """
    SELECT r.time_ns, r.verdict, f.value FROM records r
    LEFT JOIN figures f ON f.record_id = r.id AND f.metric_id = (SELECT id FROM metrics WHERE name = 'decode_tps')
    WHERE r.board_id = ? AND r.kind = ? AND r.series = ? ORDER BY r.time_ns DESC LIMIT ?
"""
_NEWEST = "SELECT data FROM records WHERE board_id = ? AND kind = ? ORDER BY time_ns DESC LIMIT ?"
_NEWEST_OF_SERIES = """SELECT data FROM records WHERE board_id = ? AND kind = ? AND series = ?
    ORDER BY time_ns DESC LIMIT ?"""

_BETWEEN = """SELECT data FROM records WHERE board_id = ? AND kind = ? AND time_ns > ? AND time_ns <= ?
    ORDER BY time_ns LIMIT ?"""
LAST_NS = 2**63 - 1


@lru_cache(maxsize=4096)
def number_of(series: str) -> int:
    """A series' 16 digits as the signed 64-bit number that its rows hold. Raises ValueError for anything else."""
    return int.from_bytes(bytes.fromhex(series), "big", signed=True)


def _digits_of(number: int | None) -> str:
    return "" if number is None else number.to_bytes(8, "big", signed=True).hex()


class SqliteReader:
    """Reads what was committed when each read began; writing goes on meanwhile."""

    def __init__(self, path: Path) -> None:
        """Opens the file for reading only. Raises StoreFailed."""
        self._path = path
        self._connection = self._guarded(
            lambda: sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
        )

    def history(
        self, node: str, board: str, metric: str, since_ns: int = 0, limit: int = 500, series: str | None = None
    ) -> list[Point]:
        """The newest `limit` points of a metric since a time, oldest first: of one series of runs (None: of all).

        Readings between runs are always among them. Raises StoreFailed.
        """
        board_id, metric_id = self._board(node, board), self._metric(metric)
        if board_id is None or metric_id is None:
            return []
        bound = {"board": board_id, "metric": metric_id, "since": since_ns, "limit": limit}
        if series is not None:
            bound["series"] = number_of(series)
        sql = _HISTORY_OF_ALL if series is None else _HISTORY_OF_ONE
        rows = self._guarded(lambda: self._connection.execute(sql, bound).fetchall())
        return [
            Point(time_ns, value, low, high, verdict or "", run_id or b"", _digits_of(number))
            for time_ns, value, low, high, verdict, run_id, number in reversed(rows)
        ]

    def others(self, node: str, board: str, metric: str, series: str, since_ns: int = 0) -> int:
        """How many points of a metric since a time are of runs of other series, up to 100,000. Raises StoreFailed."""
        board_id, metric_id = self._board(node, board), self._metric(metric)
        if board_id is None or metric_id is None:
            return 0
        bound = {
            "board": board_id, "metric": metric_id, "since": since_ns, "series": number_of(series),
            "result": RESULT, "most": MAX_OTHERS,
        }  # fmt: skip
        return int(self._guarded(lambda: self._connection.execute(_OTHERS, bound).fetchone())[0])

    def shown_series(self, node: str, board: str) -> str:
        """The series of a board's newest scheduled run, else of its newest; empty without one. Raises StoreFailed."""
        board_id = self._board(node, board)
        return "" if board_id is None else _digits_of(self._shown(board_id)[0])

    def describe(self, node: str, board: str, series: Sequence[str]) -> list[SeriesSeen]:
        """Those of the series that the board has runs of, in words, in that order. Raises StoreFailed."""
        board_id = self._board(node, board)
        if board_id is None:
            return []
        found = [self._newest(board_id, RESULT, 1, number_of(one)) for one in series]
        return [describe(record.body) for records in found for record in records if isinstance(record.body, Result)]

    def runs(self, node: str, board: str, limit: int = 32) -> list[Record]:
        """The newest results of a board, newest first. Raises StoreFailed."""
        board_id = self._board(node, board)
        return [] if board_id is None else self._newest(board_id, RESULT, limit)

    def results(
        self, node: str, board: str, after_ns: int = 0, until_ns: int | None = None, limit: int = 64
    ) -> list[Record]:
        """The first `limit` results of a board after a time and up to another, oldest first. Raises StoreFailed."""
        board_id = self._board(node, board)
        if board_id is None:
            return []
        return self._records(_BETWEEN, board_id, RESULT, after_ns, LAST_NS if until_ns is None else until_ns, limit)

    def latest(self, node: str | None = None) -> list[BoardLatest]:
        """Every board (of a node), with the newest that is known of it. Raises StoreFailed."""
        sql = "SELECT id, node, board, results, valid, unstable, invalid FROM boards WHERE board <> ''"
        if node is not None:
            sql += " AND node = :node"
        rows = self._guarded(lambda: self._connection.execute(f"{sql} ORDER BY node, board", {"node": node}).fetchall())
        boards = []
        for board_id, name, board, *tallies in rows:
            latest = BoardLatest(name, board)
            latest.sample = next(iter(self._newest(board_id, SAMPLE, 1)), None)
            series, latest.scheduled_ns = self._shown(board_id)
            if series is not None:
                latest.result = next(iter(self._newest(board_id, RESULT, 1, series)), None)
                latest.newest = self._newest_runs(board_id, series)
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

    def _shown(self, board_id: int) -> tuple[int | None, int | None]:
        """The series that stands for the board, and the time of its newest scheduled run."""
        for sql in (_NEWEST_SCHEDULED, _NEWEST_SERIES):
            row = self._row(sql, board_id, RESULT)
            if row is not None:
                return row[0], row[1]
        return None, None

    def _newest(self, board_id: int, kind: int, limit: int, series: int | None = None) -> list[Record]:
        sql, which = (_NEWEST, ()) if series is None else (_NEWEST_OF_SERIES, (series,))
        return self._records(sql, board_id, kind, *which, limit)

    def _records(self, sql: str, *bound: int) -> list[Record]:
        rows = self._guarded(lambda: self._connection.execute(sql, bound).fetchall())
        records = []
        for (data,) in rows:
            try:
                records.append(unpack(data, Record))
            except BadMessage as why:
                raise StoreFailed(f"store {self._path}: a record cannot be read: {why}") from why
        return records

    def _newest_runs(self, board_id: int, series: int) -> list[RunSeen]:
        bound = (board_id, RESULT, series, SPARK_POINTS)
        rows = self._guarded(lambda: self._connection.execute(_NEWEST_RUNS, bound).fetchall())
        return [RunSeen(*row) for row in reversed(rows)]

    def _board(self, node: str, board: str) -> int | None:
        row = self._row("SELECT id FROM boards WHERE node = ? AND board = ?", node, board)
        return None if row is None else int(row[0])

    def _metric(self, name: str) -> int | None:
        row = self._row("SELECT id FROM metrics WHERE name = ?", name)
        return None if row is None else int(row[0])

    def _row(self, sql: str, *bound: str | int) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._guarded(lambda: self._connection.execute(sql, bound).fetchone())
        return row

    def _guarded(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except sqlite3.Error as why:
            raise StoreFailed(f"store {self._path}: {line_of(why)}") from why
