"""What the demo counted, each figure where it happens. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tinyprof_protocol.counts_text import some
from tinyprof_protocol.presence import AgentStatus, BoardSummary
from tinyprof_protocol.requests import LEDGER_CLASSES, LedgerRow


@dataclass(slots=True)
class Produced:
    """The head of each of the agent's epochs, by its own word."""

    heads: dict[bytes, int] = field(default_factory=dict)
    in_spool: int = 0

    def hear(self, status: AgentStatus) -> None:
        """Takes a status; one without epochs (a last will) says nothing of them."""
        for owed in status.epochs or []:
            self.heads[owed.epoch] = max(self.heads.get(owed.epoch, 0), owed.head)
        if status.epochs is not None:
            self.in_spool = status.spool_records

    @property
    def total(self) -> int:
        """Records of every kind that the agent has made."""
        return sum(self.heads.values())


@dataclass(frozen=True, slots=True)
class DemoFigures:
    """The demo's last line, in its order."""

    boards: int
    produced: int
    stored: int
    in_spool: int
    evicted: int
    duplicates: int
    quarantined: int
    missing: int
    results: int
    valid: int
    unstable: int
    invalid: int
    ledger_ok: bool


def rows_add_up(rows: Sequence[LedgerRow], heads: dict[bytes, int]) -> bool:
    """Whether every seq that the agent made is in one class, none is missing, and the store holds what is stored."""
    known = {row.epoch for row in rows}
    if any(head and epoch not in known for epoch, head in heads.items()):
        return False
    return all(
        row.head == heads.get(row.epoch, row.head)
        and sum(getattr(row, name) for name in LEDGER_CLASSES) == row.head
        and row.missing == 0
        and row.verified == row.stored
        for row in rows
    )


def figures(
    produced: Produced, rows: Sequence[LedgerRow], boards: Sequence[BoardSummary], collector_says_ok: bool
) -> DemoFigures:
    """`rows` are the agent's, verified: their `verified` is the store's own count.

    Records are counted of the epochs that the agent speaks of; older ones, of a state directory that was used before,
    must add up all the same.
    """
    ledger_ok = collector_says_ok and rows_add_up(rows, produced.heads)
    rows = [row for row in rows if row.epoch in produced.heads]
    return DemoFigures(
        boards=len(boards),
        produced=produced.total,
        stored=sum(row.verified or 0 for row in rows),
        in_spool=sum(row.in_spool for row in rows),
        evicted=sum(row.evicted for row in rows),
        duplicates=sum(row.resent for row in rows),
        quarantined=sum(row.quarantined for row in rows),
        missing=sum(row.missing for row in rows),
        results=sum(board.results for board in boards),
        valid=sum(board.valid for board in boards),
        unstable=sum(board.unstable for board in boards),
        invalid=sum(board.invalid for board in boards),
        ledger_ok=ledger_ok,
    )


def summary(figures: DemoFigures, *, final: bool = False) -> str:
    """The figures in a line for a person. What the agent has made is exact only at the end: it says so now and then."""
    runs = (
        f"{some(figures.results, 'run')}: {figures.valid} valid, {figures.unstable} unstable, {figures.invalid} invalid"
    )
    records = f"{some(figures.stored, 'record')} stored"
    if final:
        records = f"{some(figures.produced, 'record')} made, {figures.stored} stored, {figures.in_spool} in the spool"
    return f"{some(figures.boards, 'board')}; {runs}; {records}"
