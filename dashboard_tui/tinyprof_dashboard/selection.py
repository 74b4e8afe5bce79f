"""Which boards the table shows and in which order: pure, from what the user asked for."""

from dataclasses import dataclass, field, replace

from tinyprof_dashboard.columns import BY_NAME, COLUMNS, Moment, Order, sort_rows
from tinyprof_dashboard.query import Predicate, compile_query
from tinyprof_dashboard.snapshot import Row
from tinyprof_protocol.presence import Health


@dataclass(frozen=True, slots=True)
class View:
    """What the user asked for. `test` is what `query` stands for."""

    query: str = ""
    test: Predicate = field(default_factory=lambda: compile_query(""))
    health: Health | None = None
    faults: bool = False
    order: Order = field(default_factory=lambda: Order("state"))

    @property
    def filtered(self) -> bool:
        """Whether boards may be hidden."""
        return bool(self.query.strip()) or self.health is not None or self.faults

    @property
    def follows_time(self) -> bool:
        """Whether time alone may change what is shown."""
        return self.order.column == "age" or "age" in self.query.lower()


def with_query(view: View, query: str) -> View:
    """The view under another filter. Raises BadQuery."""
    return replace(view, query=query, test=compile_query(query))


def select(view: View, moment: Moment) -> list[Row]:
    """The rows to show, in order; equal ones stay in the snapshot's own, so that nothing jumps about."""
    rows = list(moment.snapshot.rows.values())
    if view.faults:
        rows = [row for row in rows if row.health != "healthy"]
    if view.health is not None:
        rows = [row for row in rows if row.health == view.health]
    if view.query.strip():
        test = view.test
        rows = [row for row in rows if test(row, moment)]
    return sort_rows(rows, BY_NAME[view.order.column], moment, reverse=view.order.reverse)


def sort_by(view: View, name: str) -> View:
    """Sorted by a column; by the one that sorts already: the other way round."""
    return replace(view, order=view.order.by(BY_NAME[name]))


def sort_beside(view: View, step: int) -> View:
    """Sorted by the column `step` places further on, round the ends."""
    return replace(view, order=view.order.beside(COLUMNS, step))


def reversed_order(view: View) -> View:
    """The other way round."""
    return replace(view, order=view.order.reversed())
