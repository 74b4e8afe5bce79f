"""The columns of the pipeline's two tables, one entry each."""

from collections.abc import Callable
from typing import Final

from tinyprof_dashboard import numerals
from tinyprof_dashboard.availability import SECOND_NS
from tinyprof_dashboard.columns import Column, Moment, Piece
from tinyprof_dashboard.palette import SEVERITY, SYMBOLS, Role
from tinyprof_dashboard.pipeline.lines import STATES, CollectorLine, LedgerLine, partitions_text
from tinyprof_protocol.bounds import MAX_COUNT

SUMMED: Final = bytes(16)
"""The epoch of a row that stands for several."""


def number_piece(value: int | None, width: int, role: Role = "text") -> Piece:
    """A count, aligned and quiet where it is zero; a dot where it is not known."""
    if value is None:
        return Piece(numerals.NOTHING, "faint")
    return Piece(numerals.count(value, width), role if value else "faint")


def epoch_text(line: LedgerLine) -> str:
    """The first digits of an epoch; `3 ended` for several in one row."""
    if line.row is None:
        return numerals.NOTHING
    if line.row.epoch == SUMMED:
        return f"{min(line.row.epochs, 99)} ended"
    return line.row.epoch.hex()[:8]


def lag_text(seconds: float | None) -> str:
    """`12ms`, `1.5s`, `40s`, `5m`."""
    if seconds is None:
        return numerals.NOTHING
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 10 else numerals.age(seconds)


def lag_s(line: LedgerLine) -> float | None:
    """How long acknowledgements take: the median of late, or what the one under way has waited if that is more."""
    if line.delivery is None or (line.row is not None and line.row.forgotten):
        return None
    lag_ms, waiting_s = line.delivery.sack_lag_ms, line.delivery.waiting_s
    known = [value for value in (None if lag_ms is None else lag_ms / 1000, waiting_s) if value is not None]
    return max(known, default=None)


def _state(line: LedgerLine, _moment: Moment) -> Piece:
    health = STATES[line.state][1]
    return Piece(f"{SYMBOLS[health]} {line.state}", health)


def _class(name: str, role: Role, width: int) -> Callable[[LedgerLine, Moment], Piece]:
    def cell(line: LedgerLine, _moment: Moment) -> Piece:
        return number_piece(None if line.row is None else getattr(line.row, name), width, role)

    return cell


def _class_value(name: str) -> Callable[[LedgerLine, Moment], float | str | None]:
    return lambda line, _moment: None if line.row is None else getattr(line.row, name)


def _counted(name: str, title: str, width: int, priority: int, meaning: str, role: Role = "text") -> Column[LedgerLine]:
    return Column(name, title, width, priority, _class(name, role, width), _class_value(name), meaning, right=True,
                  best_first=True)  # fmt: skip


def _oldest(line: LedgerLine, _moment: Moment) -> Piece:
    late = line.state in ("held up", "offline", "silent")
    return Piece(numerals.age(line.oldest_s), "warning" if late else "text" if line.oldest_s else "faint")


def _lag(line: LedgerLine, _moment: Moment) -> Piece:
    seconds = lag_s(line)
    return Piece(lag_text(seconds), "faint" if seconds is None else "warning" if seconds >= 10 else "text")


LEDGER_COLUMNS: Final[tuple[Column[LedgerLine], ...]] = (
    Column("state", "state", 13, 1, _state, lambda line, _: STATES[line.state][0],
           "The worst that is to be said of the epoch: missing, offline, silent, held up, …, settled."),
    Column("agent", "agent", 13, 1, lambda line, _: Piece(line.node, "strong"), lambda line, _: line.node,
           "Whose records.", grows_to=28),
    Column("epoch", "epoch", 8, 6, lambda line, _: Piece(epoch_text(line), "dim"), lambda line, _: line.key[1].hex(),
           "Which start of the agent; `3 ended` stands for that many that are over and settled."),
    _counted("head", "made", 9, 3, "Records made, as far as was ever heard."),
    _counted("stored", "stored", 9, 1, "In every store, by the stores' own answers.", "healthy"),
    Column("in_spool", "in spool", 8, 2, lambda line, _: number_piece(line.in_spool, 8, "accent"),
           lambda line, _: line.in_spool, "Still owed by the agent.", right=True, best_first=True),
    Column("oldest", "oldest", 6, 2, _oldest, lambda line, _: line.oldest_s,
           "Age of the oldest record in its spool.", right=True, best_first=True),
    Column("lag", "lag", 5, 4, _lag, lambda line, _: lag_s(line),
           "From receipt to acknowledgement, or how long the one under way has waited, if that is more.", right=True,
           best_first=True),
    _counted("missing", "missing", 7, 1, "Made, and nowhere to be found; the cause is below the table.", "critical"),
    _counted("evicted", "evicted", 7, 5, "Given up by a full or broken spool, and declared.", "warning"),
    _counted("quarantined", "quar.", 6, 5, "Kept apart because it cannot be taken; `tinyprof quarantine list`.",
             "warning"),
    _counted("expired", "expired", 7, 7, "Older than the store keeps anything."),
    _counted("discarded", "disc.", 5, 7, "Fell out of the quarantine.", "warning"),
    _counted("stored_on_word", "on word", 7, 8, "Stored by the agent's word, because the collector lost its state."),
)  # fmt: skip
LEDGER_BY_NAME: Final = {column.name: column for column in LEDGER_COLUMNS}


def _collector_state(line: CollectorLine, _moment: Moment) -> Piece:
    return Piece(f"{SYMBOLS[line.health]} {'silent' if line.health == 'stale' else line.health}", line.health)


def stores_text(line: CollectorLine) -> str:
    """Each store with the sign of its state."""
    stores = sorted(line.heard.status.stores.items())
    return "  ".join(f"{SYMBOLS[health]} {numerals.printable(name)}" for name, health in stores) or numerals.NOTHING


def trouble(line: CollectorLine) -> str:
    """What is wrong with a collector, in a line: its stores first, then its own state; empty where nothing is."""
    status = line.heard.status
    if line.health == "offline":
        return "its connection ended (last will)"
    if line.health == "stale":
        return f"no word; one is due every {numerals.age(status.interval_s)}"
    stores = [f"{name}: {why}" for name, why in sorted(status.store_errors.items())]
    return "; ".join([*stores, status.state_error, *([] if stores or status.state_error else status.reasons)]).strip(
        "; "
    )


def deferred(line: CollectorLine) -> int:
    """Batches that fell because a bound was reached, anywhere in it."""
    counters = line.heard.status.counters
    return min(MAX_COUNT, counters.get("deferred", 0) + counters.get("inbox_deferred", 0))


def _stores(line: CollectorLine, _moment: Moment) -> Piece:
    bad = any(health != "healthy" for health in line.heard.status.stores.values())
    return Piece(stores_text(line), "critical" if bad else "text" if line.heard.alive else "dim")


def _tally(
    name: str, title: str, width: int, priority: int, meaning: str, role: Role = "text"
) -> Column[CollectorLine]:
    def read(line: CollectorLine) -> int:
        return deferred(line) if name == "deferred" else line.heard.status.counters.get(name, 0)

    return Column(name, title, width, priority, lambda line, _: number_piece(read(line), width, role),
                  lambda line, _: read(line), meaning, right=True)  # fmt: skip


def _rate(line: CollectorLine, _moment: Moment) -> Piece:
    if line.stored_per_s is None:
        return Piece(numerals.NOTHING, "faint")
    return Piece(f"{line.stored_per_s:,.0f}" if line.stored_per_s >= 10 else f"{line.stored_per_s:.1f}", "healthy")


def _holding(line: CollectorLine, _moment: Moment) -> Piece:
    holding_s = line.heard.status.holding_s
    return Piece(numerals.age(holding_s), "faint" if holding_s is None else "critical")


def _said(line: CollectorLine, moment: Moment) -> Piece:
    return Piece(numerals.age((moment.now_ns - line.heard.heard_ns) / SECOND_NS),
                 "dim" if line.heard.alive else "stale")  # fmt: skip


COLLECTOR_COLUMNS: Final[tuple[Column[CollectorLine], ...]] = (
    Column("state", "state", 10, 1, _collector_state, lambda line, _: SEVERITY[line.health],
           "What its own word and its silence say."),
    Column("collector", "collector", 9, 1, lambda line, _: Piece(line.key, "strong"), lambda line, _: line.key,
           "Its name.", grows_to=18),
    Column("partitions", "part.", 5, 6, lambda line, _: Piece(partitions_text(line.heard.status.partitions), "dim"),
           lambda line, _: len(line.heard.status.partitions), "The partitions that it serves.", grows_to=14),
    Column("stores", "stores", 21, 1, _stores, lambda line, _: stores_text(line), "Its stores and how they are.",
           grows_to=36),
    Column("rate", "stored/s", 8, 3, _rate, lambda line, _: line.stored_per_s,
           "Records stored a second, between its last two words.", right=True),
    _tally("stored", "stored", 9, 4, "Records stored since its start.", "healthy"),
    _tally("resent", "resent", 7, 5, "Duplicates dropped since its start."),
    _tally("deferred", "deferred", 8, 4, "Batches that fell because a bound was reached; they come again.", "warning"),
    _tally("quarantine_kept", "quar.", 6, 5, "Items in its quarantine.", "warning"),
    Column("waiting", "wait", 5, 2, lambda line, _: number_piece(line.heard.status.waiting, 5, "accent"),
           lambda line, _: line.heard.status.waiting, "Batches received and not answered yet.", right=True),
    Column("holding", "holding", 7, 1, _holding, lambda line, _: line.heard.status.holding_s,
           "For how long nothing was acknowledged.", right=True),
    Column("said", "said", 4, 3, _said, lambda line, _: line.heard.heard_ns, "Time since its last word.", right=True),
)  # fmt: skip
