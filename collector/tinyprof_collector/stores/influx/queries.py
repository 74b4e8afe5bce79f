"""InfluxQL that the collector asks. Pure: names are checked before, texts are quoted here."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from tinyprof_collector.stores.influx.line_protocol import EVENT, MEASUREMENTS, RESULT, SAMPLE
from tinyprof_protocol.bounds import MAX_SEQ

T = TypeVar("T")

_ALL = ", ".join(MEASUREMENTS)
OF_A_RUN = ("verdict", "run_id", "series_id")
"""What a run's row in a history has beside its metric."""
TO_FIND_ONE = 4
"""Rows that are asked for where one is wanted: the newest may be some that are being written."""


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`: what is asked in one request."""
    left = iter(items)
    while some := list(islice(left, size)):
        yield some


def quoted(text: str) -> str:
    """A text as InfluxQL's string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def of_node(node: str | None, board: str | None = None) -> str:
    """The condition that names an agent, and a board of it."""
    parts = []
    if node is not None:
        site, _, agent = node.partition(".")
        parts += [f"site = {quoted(site)}", f"agent = {quoted(agent)}"]
    if board is not None:
        parts.append(f"board = {quoted(board)}")
    return " AND ".join(parts) or "site <> ''"


def count_of(node: str, epoch: bytes | None, first: int = 1, last: int = MAX_SEQ) -> str:
    """Counts the records of a node, of an epoch, or of some seqs of it: one row a measurement."""
    which = of_node(node)
    if epoch is not None:
        which += f" AND epoch = {quoted(epoch.hex())}"
    if first > 1:
        which += f" AND seq >= {first}"
    if last < MAX_SEQ:
        which += f" AND seq <= {last}"
    return f"SELECT COUNT(seq) FROM {_ALL} WHERE {which}"  # noqa: S608


def seqs_between(node: str, epoch: bytes, first_ns: int, last_ns: int) -> str:
    """The seqs of an epoch whose records lie within a time. Seqs and times rise together, so that it is a short one."""
    when = f"time >= {first_ns} AND time <= {last_ns}"
    return f"SELECT seq FROM {_ALL} WHERE {of_node(node)} AND epoch = {quoted(epoch.hex())} AND {when}"  # noqa: S608


def there(field: str) -> str:
    """The condition that a field has a value: rows of a measurement have nulls where they lack a field."""
    return f"({field} > 0 OR {field} <= 0)"


def history(node: str, board: str, metric: str, since_ns: int, limit: int, series: str | None) -> str:
    """Two statements, newest first: a metric's runs, and its readings between runs."""
    which = f"{of_node(node, board)} AND {there(metric)} AND time >= {since_ns}"
    runs = which if series is None else f"{which} AND series_id = {quoted(series)}"
    columns = ", ".join((metric, f"{metric}_low", f"{metric}_high", *OF_A_RUN))
    return (
        f"SELECT {columns} FROM {RESULT} WHERE {runs} ORDER BY time DESC LIMIT {limit}; "  # noqa: S608
        f"SELECT {metric} FROM {SAMPLE} WHERE {which} ORDER BY time DESC LIMIT {limit}"
    )


def others(node: str, board: str, metric: str, series: str, since_ns: int) -> str:
    """How many values of a metric are of runs of other series."""
    which = f"{of_node(node, board)} AND time >= {since_ns} AND series_id <> {quoted(series)}"
    return f"SELECT COUNT({metric}) FROM {RESULT} WHERE {which}"  # noqa: S608


def newest_series(node: str, board: str) -> str:
    """Two statements: the series of the newest scheduled run, and of the newest run."""
    which = of_node(node, board)
    return (
        f"SELECT series_id FROM {RESULT} WHERE {which} AND asked = false ORDER BY time DESC LIMIT {TO_FIND_ONE}; "  # noqa: S608
        f"SELECT series_id FROM {RESULT} WHERE {which} ORDER BY time DESC LIMIT {TO_FIND_ONE}"
    )


def newest_records(node: str, board: str, limit: int, series: str | None = None, measurement: str = RESULT) -> str:
    """The newest points of a board, whole: what `records_in` takes."""
    which = of_node(node, board)
    if series is not None:
        which += f" AND series_id = {quoted(series)}"
    return f"SELECT * FROM {measurement} WHERE {which} ORDER BY time DESC LIMIT {limit}"  # noqa: S608


def records_between(node: str, board: str, after_ns: int, until_ns: int | None, limit: int) -> str:
    """The first whole records of a board's runs after a time and up to another, oldest first."""
    when = f"time > {after_ns}" + ("" if until_ns is None else f" AND time <= {until_ns}")
    return f"SELECT * FROM {RESULT} WHERE {of_node(node, board)} AND {when} ORDER BY time ASC LIMIT {limit}"  # noqa: S608


def newest_runs(node: str, board: str, series: str, limit: int) -> str:
    """The newest runs of a series, small; one that is being written may lack its figure, and then `asked` as well."""
    which = f"{of_node(node, board)} AND series_id = {quoted(series)}"
    return f"SELECT asked, verdict, decode_tps FROM {RESULT} WHERE {which} ORDER BY time DESC LIMIT {limit}"  # noqa: S608


def all_boards(node: str | None) -> str:
    """For every board: three counts by verdict, then the newest sample's time and the newest event's."""
    which = f"{of_node(node)} AND board <> ''"
    group = "GROUP BY site, agent, board"
    verdicts = "; ".join(
        f"SELECT COUNT(verdict) FROM {RESULT} WHERE {which} AND verdict = {quoted(verdict)} {group}"  # noqa: S608
        for verdict in ("valid", "unstable", "invalid")
    )
    return f"{verdicts}; SELECT LAST(seq) FROM {SAMPLE}, {EVENT} WHERE {which} {group}"  # noqa: S608
