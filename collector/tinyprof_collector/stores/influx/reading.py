"""Reads of the InfluxDB store, by InfluxQL over `/query`, which 1.x, 2.x (virtual DBRP) and 3 all have.

A server shows the fields of a point one by one while it writes them, so that a row may lack some: what is not whole is
not there yet, and is left out. 1.8 and 2.7 look at the fields of an answer in the order of their names (seen on both):
a row with one has all that come after it.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from tinyprof_collector.stores.influx import queries
from tinyprof_collector.stores.influx.detail import record_in
from tinyprof_collector.stores.influx.line_protocol import RESULT, SAMPLE
from tinyprof_collector.stores.influx.server import Rows
from tinyprof_collector.stores.store import BoardLatest, RunSeen, StoreFailed
from tinyprof_protocol.codec import BadMessage
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.presence import SPARK_POINTS
from tinyprof_protocol.records import Record, Result
from tinyprof_protocol.requests import Point
from tinyprof_protocol.series import SeriesSeen, describe

MAX_OTHERS = 100_000
BOARDS_A_QUESTION = 20
MAX_SKIPPED_PAGES = 64


class Asked(Protocol):
    """What answers InfluxQL."""

    def query(self, influxql: str) -> list[list[Rows]]:
        """One list of series a statement. Raises StoreFailed."""


class InfluxReader:
    """Reads what the server has when it is asked; it may be used from any thread."""

    def __init__(self, server: Asked) -> None:
        self._server = server

    def history(
        self, node: str, board: str, metric: str, since_ns: int = 0, limit: int = 500, series: str | None = None
    ) -> list[Point]:
        """The newest `limit` points of a metric since a time, oldest first: of one series of runs (None: of all).

        Readings between runs are always among them. Raises StoreFailed.
        """
        if metric not in METRICS:
            return []
        answers = self._server.query(queries.history(node, board, metric, since_ns, limit, series))
        runs, readings = ([row for one in rows for row in one.dicts()] for rows in answers)
        whole = [row for row in runs if all(row[name] is not None for name in (metric, *queries.OF_A_RUN))]
        whole += [row for row in readings if row[metric] is not None]
        points = [_point(row, metric) for row in whole]
        return sorted(points, key=lambda point: point.time_ns)[-limit:]

    def others(self, node: str, board: str, metric: str, series: str, since_ns: int = 0) -> int:
        """How many points of a metric since a time are of runs of other series, up to 100,000. Raises StoreFailed."""
        if metric not in METRICS:
            return 0
        [rows] = self._server.query(queries.others(node, board, metric, series, since_ns))
        return min(MAX_OTHERS, sum(int(row[1]) for one in rows for row in one.values))

    def shown_series(self, node: str, board: str) -> str:
        """The series of a board's newest scheduled run, else of its newest; empty without one. Raises StoreFailed."""
        return self._shown(node, board)[0]

    def describe(self, node: str, board: str, series: Sequence[str]) -> list[SeriesSeen]:
        """Those of the series that the board has runs of, in words, in that order. Raises StoreFailed."""
        if not series:
            return []
        answers = self._server.query(
            "; ".join(queries.newest_records(node, board, queries.TO_FIND_ONE, one) for one in series)
        )
        records = [record for rows in answers for record in _records(rows)[:1]]
        return [describe(record.body) for record in records if isinstance(record.body, Result)]

    def runs(self, node: str, board: str, limit: int = 32) -> list[Record]:
        """The newest results of a board, newest first. Raises StoreFailed."""
        [rows] = self._server.query(queries.newest_records(node, board, limit))
        return _records(rows)

    def results(
        self, node: str, board: str, after_ns: int = 0, until_ns: int | None = None, limit: int = 64
    ) -> list[Record]:
        """The first `limit` results of a board after a time and up to another, oldest first. Raises StoreFailed."""
        records: list[Record] = []
        # Rows that were written without their whole records count among a server's first ones: ask for those behind.
        for _ in range(MAX_SKIPPED_PAGES):
            wanted = limit - len(records)
            [rows] = self._server.query(queries.records_between(node, board, after_ns, until_ns, wanted))
            times = [int(row["time"]) for one in rows for row in one.dicts()]
            records += _records(rows)
            if len(records) >= limit or len(times) < wanted:
                break
            after_ns = max(times)
        return records

    def latest(self, node: str | None = None) -> list[BoardLatest]:
        """Every board (of a node), with the newest that is known of it. Raises StoreFailed."""
        valid, unstable, invalid, others = self._server.query(queries.all_boards(node))
        boards: dict[tuple[str, str], BoardLatest] = {}
        for name, answer in (("valid", valid), ("unstable", unstable), ("invalid", invalid), ("", others)):
            for rows in answer:
                key = f"{rows.tags['site']}.{rows.tags['agent']}", rows.tags["board"]
                latest = boards.setdefault(key, BoardLatest(*key))
                if name:
                    count = int(rows.values[0][1])
                    setattr(latest, name, count)
                    latest.results += count
        found = [boards[key] for key in sorted(boards)]
        for first in range(0, len(found), BOARDS_A_QUESTION):
            self._complete(found[first : first + BOARDS_A_QUESTION])
        return found

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, why: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _complete(self, boards: Sequence[BoardLatest]) -> None:
        """Adds the shown series, its newest runs and the newest sample, some boards at a time."""
        asked = [
            statement
            for one in boards
            for statement in (
                queries.newest_series(one.node, one.board),
                queries.newest_records(one.node, one.board, queries.TO_FIND_ONE, measurement=SAMPLE),
            )
        ]
        answers = self._server.query("; ".join(asked))
        with_series: list[tuple[BoardLatest, str]] = []
        for n, one in enumerate(boards):
            scheduled, newest, sample = answers[3 * n : 3 * n + 3]
            series, one.scheduled_ns = _series_of(scheduled, newest)
            one.sample = next(iter(_records(sample)), None)
            if series:
                with_series.append((one, series))
        if not with_series:
            return
        answers = self._server.query(
            "; ".join(
                f"{queries.newest_records(one.node, one.board, queries.TO_FIND_ONE, series)}; "
                f"{queries.newest_runs(one.node, one.board, series, SPARK_POINTS)}"
                for one, series in with_series
            )
        )
        for n, (one, _) in enumerate(with_series):
            one.result = next(iter(_records(answers[2 * n])), None)
            runs = [row for rows in answers[2 * n + 1] for row in rows.dicts() if row["asked"] is not None]
            one.newest = [RunSeen(row["time"], row["verdict"], row.get("decode_tps")) for row in reversed(runs)]

    def _shown(self, node: str, board: str) -> tuple[str, int | None]:
        scheduled, newest = self._server.query(queries.newest_series(node, board))
        return _series_of(scheduled, newest)


def _series_of(scheduled: list[Rows], newest: list[Rows]) -> tuple[str, int | None]:
    """The series that stands for a board, and the time of its newest scheduled run."""
    of_scheduled, of_any = (
        [row for rows in answer for row in rows.dicts() if row["series_id"] is not None]
        for answer in (scheduled, newest)
    )
    if of_scheduled:
        return str(of_scheduled[0]["series_id"]), int(of_scheduled[0]["time"])
    return str(of_any[0]["series_id"]) if of_any else "", None


def _point(row: dict[str, Any], metric: str) -> Point:
    run_id = row.get("run_id") or ""
    return Point(
        int(row["time"]), float(row[metric]), row.get(f"{metric}_low"), row.get(f"{metric}_high"),
        row.get("verdict") or "", bytes.fromhex(run_id), row.get("series_id") or "",
    )  # fmt: skip


def _records(rows: Sequence[Rows]) -> list[Record]:
    """Whole records; points that were written without what it takes, or are still being written, are left out."""
    try:
        found = [record_in(row) for one in rows for row in one.dicts()]
    except (ValueError, BadMessage) as why:
        raise StoreFailed(f"store influxdb: a record of {RESULT} or {SAMPLE} cannot be read: {why}"[:300]) from None
    return [record for record in found if record is not None]
