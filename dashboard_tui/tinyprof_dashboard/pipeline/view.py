"""Which epochs the pipeline's table shows and in which order: pure, from what the user asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tinyprof_dashboard.columns import Moment, Order, sort_rows
from tinyprof_dashboard.pipeline.columns import LEDGER_BY_NAME, LEDGER_COLUMNS
from tinyprof_dashboard.pipeline.lines import LedgerLine


@dataclass(frozen=True, slots=True)
class LedgerView:
    """What the user asked for: `unsettled` leaves out what needs no look."""

    order: Order = field(default_factory=lambda: Order("state"))
    unsettled: bool = False


def select(view: LedgerView, lines: Sequence[LedgerLine], moment: Moment) -> list[LedgerLine]:
    """The lines to show, in order; equal ones stay by node and age of the epoch."""
    shown = [line for line in lines if not (view.unsettled and line.state in ("settled", "on its way"))]
    return sort_rows(shown, LEDGER_BY_NAME[view.order.column], moment, reverse=view.order.reverse)


def sort_by(view: LedgerView, name: str) -> LedgerView:
    """Sorted by a column; by the one that sorts already: the other way round."""
    return replace(view, order=view.order.by(LEDGER_BY_NAME[name]))


def sort_beside(view: LedgerView, step: int) -> LedgerView:
    """Sorted by the column `step` places further on, round the ends."""
    return replace(view, order=view.order.beside(LEDGER_COLUMNS, step))


def reversed_order(view: LedgerView) -> LedgerView:
    """The other way round."""
    return replace(view, order=view.order.reversed())
