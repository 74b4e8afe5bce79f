"""The columns of the fleet's table, one entry each: what it shows, how it sorts, what the filter compares.

A column earns its place by its `priority` (1 is never dropped); when the terminal is too narrow the least important
ones go first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, Generic, NamedTuple, TypeVar

from tinyprof_dashboard import numerals, palette, regressions
from tinyprof_dashboard.palette import Role
from tinyprof_dashboard.plot import spark
from tinyprof_dashboard.snapshot import Row, Snapshot, age_s

R = TypeVar("R")
GAP = 1


class Piece(NamedTuple):
    """Some text of a cell and the role that colours it."""

    text: str
    role: Role = "text"


@dataclass(frozen=True, slots=True)
class Moment:
    """When something is shown: the snapshot and the wall time in nanoseconds."""

    snapshot: Snapshot
    now_ns: int


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """A column over rows of type R. `value` is what sorts and what the filter compares; None sorts last."""

    name: str
    title: str
    width: int
    priority: int
    cell: Callable[[R, Moment], Piece]
    value: Callable[[R, Moment], float | str | None]
    meaning: str
    right: bool = False
    grows_to: int = 0
    """It takes what room is left, up to this width; 0: it does not grow."""
    best_first: bool = False
    """A first sort by it begins with the greatest."""


@dataclass(frozen=True, slots=True)
class Order:
    """Which column sorts, and whether the greatest comes first."""

    column: str
    reverse: bool = False

    def reversed(self) -> "Order":
        """The other way round."""
        return Order(self.column, not self.reverse)

    def by(self, column: Column[Any]) -> "Order":
        """By a column; by the one that sorts already: the other way round."""
        return self.reversed() if column.name == self.column else Order(column.name, column.best_first)

    def beside(self, columns: Sequence[Column[Any]], step: int) -> "Order":
        """By the column `step` places further on, round the ends."""
        at = [column.name for column in columns].index(self.column)
        return self.by(columns[(at + step) % len(columns)])


def lay_out(columns: Sequence[Column[R]], width: int) -> list[tuple[Column[R], int]]:
    """The columns that fit into `width` cells, in order, each with its width."""
    shown = list(columns)
    while len(shown) > 1 and _least(shown) > width:
        last = max(column.priority for column in shown)
        shown.remove(next(column for column in reversed(shown) if column.priority == last))
    spare = width - _least(shown)
    placed = []
    for column in shown:
        more = min(spare, column.grows_to - column.width) if column.grows_to > column.width and spare > 0 else 0
        spare -= more
        placed.append((column, min(column.width + more, width)))
    return placed


def _least(columns: Sequence[Column[R]]) -> int:
    return sum(column.width for column in columns) + GAP * (len(columns) - 1)


def sort_rows(rows: Sequence[R], column: Column[R], moment: Moment, *, reverse: bool) -> list[R]:
    """Rows by a column's value, stable; rows without one stay last either way."""
    read = column.value
    keyed = [(read(row, moment), row) for row in rows]
    known: list[tuple[Any, R]] = [pair for pair in keyed if pair[0] is not None]
    known.sort(key=itemgetter(0), reverse=reverse)
    if len(known) == len(keyed):
        return [row for _, row in known]
    return [row for _, row in known] + [row for value, row in keyed if value is None]


def figure(row: Row, metric: str) -> float | None:
    """A metric of the board's last run, else of its newest sample."""
    found = row.summary.figures.get(metric)
    return found.value if found is not None else row.summary.readings.get(metric)


def is_estimated(row: Row, metric: str) -> bool:
    """Whether a figure was estimated and not measured."""
    found = row.summary.figures.get(metric)
    return found is not None and found.estimated


def metric_text(row: Row, metric: str, write: Callable[[float], str] = numerals.number) -> str:
    """A metric's figure as the table shows it: estimated ones begin with `~`."""
    value = figure(row, metric)
    if value is None:
        return numerals.NOTHING
    return (palette.ESTIMATED if is_estimated(row, metric) else "") + write(value)


def _gone(row: Row) -> bool:
    return row.health in ("stale", "offline")


def _measured(metric: str, write: Callable[[float], str] = numerals.number) -> Callable[[Row, Moment], Piece]:
    def cell(row: Row, _moment: Moment) -> Piece:
        text = metric_text(row, metric, write)
        return Piece(text, "faint" if text == numerals.NOTHING else "dim" if _gone(row) else "text")

    return cell


def _metric_value(metric: str) -> Callable[[Row, Moment], float | str | None]:
    return lambda row, _moment: figure(row, metric)


def _plain(read: Callable[[Row], str], role: Role = "text") -> Callable[[Row, Moment], Piece]:
    def cell(row: Row, _moment: Moment) -> Piece:
        text = read(row)
        return Piece(text or numerals.NOTHING, "dim" if _gone(row) or not text else role)

    return cell


def platform_text(row: Row) -> str:
    """The platform, marked where it is emulated."""
    mark = f"{palette.EMULATED} " if row.summary.emulated else ""
    return mark + row.summary.platform


def model_text(row: Row) -> str:
    """The model with its quantisation."""
    return " ".join(part for part in (row.summary.model, row.summary.quantisation) if part)


def _state(row: Row, _moment: Moment) -> Piece:
    running = row.health == "healthy" and row.summary.state == "running"
    return Piece(f"{palette.SYMBOLS[row.health]} {'running' if running else row.health}", row.health)


def _spark(row: Row, _moment: Moment) -> Piece:
    return Piece(spark(row.summary.spark, 8), "faint" if _gone(row) else "spark")


def _temperature(row: Row, _moment: Moment) -> Piece:
    value = figure(row, "temperature_c")
    if value is None:
        return Piece(numerals.NOTHING, "faint")
    return Piece(f"{value:.0f}°", "dim" if _gone(row) else "text")


def _age(row: Row, moment: Moment) -> Piece:
    late = row.health == "stale"
    return Piece(numerals.age(age_s(row, moment.snapshot, moment.now_ns)), "stale" if late else "dim")


def _verdict(row: Row, _moment: Moment) -> Piece:
    verdict = row.summary.verdict
    if verdict is None:
        return Piece(numerals.NOTHING, "faint")
    text = f"{palette.VERDICT_SYMBOLS[verdict]} {verdict}"
    return Piece(text, "dim" if _gone(row) else palette.VERDICT_ROLES[verdict])


def _regression(row: Row, _moment: Moment) -> Piece:
    found = regressions.worst(row.summary)
    return Piece(numerals.NOTHING, "faint") if found is None else Piece(f"▼ {regressions.brief(found)}", "warning")


def _regressed_by(row: Row, _moment: Moment) -> float | str | None:
    found = regressions.worst(row.summary)
    return None if found is None else abs(found.change) * 100


COLUMNS: Final[tuple[Column[Row], ...]] = (
    Column("state", "state", 10, 1, _state,
           lambda row, _: palette.SEVERITY[row.health],
           "What may be believed of the board now: healthy (or running), warning, critical, stale, offline."),
    Column("site", "site", 9, 5, _plain(lambda row: row.site, "dim"), lambda row, _: row.site,
           "Where its agent is.", grows_to=14),
    Column("board", "board", 13, 1, _plain(lambda row: row.board, "strong"), lambda row, _: row.board,
           "The board's own name.", grows_to=22),
    Column("platform", "platform", 13, 7, _plain(platform_text), lambda row, _: row.summary.platform,
           "The machine that was measured; `◇` marks an emulated one.", grows_to=20),
    Column("model", "model", 16, 9, _plain(model_text, "dim"), lambda row, _: model_text(row),
           "The language model and its quantisation.", grows_to=24),
    Column("ttft", "TTFT ms", 8, 2, _measured("ttft_ms"), _metric_value("ttft_ms"),
           "Time to first token of the last run, in milliseconds.", right=True),
    Column("decode", "decode/s", 8, 2, _measured("decode_tps"), _metric_value("decode_tps"),
           "Tokens per second after the first, of the last run.", right=True, best_first=True),
    Column("trend", "trend", 8, 6, _spark, lambda row, _: row.summary.spark[-1] if row.summary.spark else None,
           "`decode` of the newest runs, oldest first, scaled to itself.", best_first=True),
    Column("regression", "regressed", 14, 11, _regression, _regressed_by,
           "The greatest standing change for the worse of the board's usual level, in percent.", best_first=True),
    Column("ram", "RAM", 8, 8, _measured("ram_peak_bytes", numerals.size), _metric_value("ram_peak_bytes"),
           "Peak memory of the last run.", right=True, best_first=True),
    Column("temperature", "temp", 4, 10, _temperature, _metric_value("temperature_c"),
           "Temperature of the processor or board, in °C.", right=True, best_first=True),
    Column("verdict", "verdict", 10, 4, _verdict, lambda row, _: row.summary.verdict,
           "Whether the last run may be trusted: valid, unstable or invalid."),
    Column("age", "age", 4, 3, _age, lambda row, moment: age_s(row, moment.snapshot, moment.now_ns),
           "Time since the board was last heard of.", right=True),
)  # fmt: skip
BY_NAME: Final[dict[str, Column[Row]]] = {column.name: column for column in COLUMNS}
