"""A table of any number of rows that draws only the lines in sight.

The rows are the caller's own list. The cursor belongs to a row, not to a line: whatever order the rows come in, it
stays on its row.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tinyprof_dashboard.columns import GAP, Column, Moment, Order, lay_out
from tinyprof_dashboard.keys import bindings_of
from tinyprof_dashboard.numerals import clip
from tinyprof_dashboard.palette import BACKGROUND, CURSOR, PANEL, ink


class Keyed(Protocol):
    """A row: it has an identity."""

    @property
    def key(self) -> object:
        """Equal for the same thing, whatever its figures."""


R = TypeVar("R", bound=Keyed)
HEADER_LINES = 1


class Grid(ScrollView, Generic[R], can_focus=True):
    """Rows under columns, one line each, below a line of titles."""

    BINDINGS: ClassVar[list[BindingType]] = bindings_of("table")

    DEFAULT_CSS = """
    Grid {
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-background-active: $background;
        scrollbar-color: #2a3340;
        scrollbar-color-hover: #3b4757;
        scrollbar-color-active: #3b4757;
        scrollbar-corner-color: $background;
    }
    """

    class Chosen(Message):
        """Enter or a second click on a row."""

        def __init__(self, grid: "Grid[R]", key: object) -> None:
            super().__init__()
            self.grid, self.key = grid, key

    class Moved(Message):
        """The cursor is on another row."""

        def __init__(self, grid: "Grid[R]", key: object) -> None:
            super().__init__()
            self.grid, self.key = grid, key

    class TitleClicked(Message):
        """A click on a column's title."""

        def __init__(self, grid: "Grid[R]", column: str) -> None:
            super().__init__()
            self.grid, self.column = grid, column

    def __init__(self, columns: Sequence[Column[R]], *, order: Order | None = None) -> None:
        super().__init__()
        self._columns = columns
        self._placed: list[tuple[Column[R], int]] = []
        self._placed_for = -1
        self.rows: Sequence[R] = ()
        self.cursor = 0
        self.cursor_key: object = None
        self.order = order
        self.moment: Moment | None = None
        self.notice: Callable[[], Sequence[str]] = lambda: ()
        """Lines to show where there is no row."""

    # ---- what the owner sets

    def show(self, rows: Sequence[R], moment: Moment, *, order: Order | None = None) -> None:
        """Shows these rows in this order; the cursor stays on its row, or near where it was if that is gone."""
        self.rows, self.moment = rows, moment
        resorted = order is not None and order != self.order
        self.order = order or self.order
        found = self._index_of(self.cursor_key)
        before = self.cursor
        self.cursor = found if found is not None else max(0, min(self.cursor, len(rows) - 1))
        self._remember_cursor()
        size = Size(self.scrollable_content_region.width, len(rows) + HEADER_LINES)
        if size != self.virtual_size:
            self.virtual_size = size
        if self.cursor != before or resorted or found is None:
            self._keep_in_sight()
        self.refresh()

    def tick(self, moment: Moment) -> None:
        """The same rows, later: ages move on."""
        self.moment = moment
        self.refresh()

    def choose(self) -> None:
        """As if Enter had been pressed on the row under the cursor."""
        if self.rows:
            self.post_message(self.Chosen(self, self.cursor_key))

    # ---- the cursor

    def action_move(self, by: int) -> None:
        """One line up or down."""
        self._put_cursor(self.cursor + by)

    def action_page(self, direction: int) -> None:
        """One page up or down."""
        self._put_cursor(self.cursor + direction * max(1, self._page() - 1))

    def action_edge(self, direction: int) -> None:
        """The first row or the last."""
        self._put_cursor(0 if direction < 0 else len(self.rows) - 1)

    def _index_of(self, key: object) -> int | None:
        if key is None:
            return None
        if self.cursor < len(self.rows) and self.rows[self.cursor].key == key:
            return self.cursor
        return next((index for index, row in enumerate(self.rows) if row.key == key), None)

    def _remember_cursor(self) -> None:
        key = self.rows[self.cursor].key if self.rows else None
        if key is not None and key != self.cursor_key:
            self.cursor_key = key
            self.post_message(self.Moved(self, key))

    def _put_cursor(self, index: int) -> None:
        index = max(0, min(index, len(self.rows) - 1))
        if index == self.cursor or not self.rows:
            return
        self.cursor = index
        self._remember_cursor()
        self._keep_in_sight()
        self.refresh()

    def _page(self) -> int:
        return max(1, self.size.height - HEADER_LINES)

    def _keep_in_sight(self) -> None:
        top = round(self.scroll_target_y)
        page = self._page()
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= top + page:
            self.scroll_to(y=self.cursor - page + 1, animate=False)

    # ---- the mouse

    def on_click(self, event: events.Click) -> None:
        """A title sorts; a row takes the cursor, and a click on the row that has it chooses it."""
        if event.y < HEADER_LINES:
            column = self._column_at(event.x)
            if column is not None:
                self.post_message(self.TitleClicked(self, column.name))
            return
        index = event.y - HEADER_LINES + self.scroll_offset.y
        if index >= len(self.rows):
            return
        if index == self.cursor:
            self.choose()
        else:
            self._put_cursor(index)

    def _column_at(self, x: int) -> Column[R] | None:
        left = 1
        for column, width in self._layout():
            if x < left + width + GAP:
                return column
            left += width + GAP
        return None

    # ---- drawing

    def _layout(self) -> list[tuple[Column[R], int]]:
        width = self.scrollable_content_region.width
        if width != self._placed_for:
            self._placed, self._placed_for = lay_out(self._columns, max(1, width - 2)), width
        return self._placed

    def on_resize(self) -> None:
        """The row under the cursor stays in sight."""
        self._keep_in_sight()

    def render_line(self, y: int) -> Strip:
        """One line: the titles, a row, or part of the notice."""
        width = self.scrollable_content_region.width
        if y < HEADER_LINES:
            return self._titles().adjust_cell_length(width, ink("dim", PANEL))
        if not self.rows:
            return self._notice_line(y, width)
        index = y - HEADER_LINES + self.scroll_offset.y
        if self.moment is None or index >= len(self.rows):
            return Strip.blank(width, ink("text", BACKGROUND))
        under_cursor = CURSOR if self.has_focus else PANEL
        background = under_cursor if index == self.cursor else BACKGROUND
        return self._row(self.rows[index], self.moment, background).adjust_cell_length(width, ink("text", background))

    def _row(self, row: R, moment: Moment, background: str) -> Strip:
        gap = Segment(" " * GAP, ink("text", background))
        segments = [Segment(" ", gap.style)]
        for column, width in self._layout():
            text, role = column.cell(row, moment)
            segments.append(Segment(clip(text, width, right=column.right), ink(role, background)))
            segments.append(gap)
        return Strip(segments)

    def _titles(self) -> Strip:
        plain, sorted_by = ink("dim", PANEL), ink("accent", PANEL)
        segments = [Segment(" ", plain)]
        for column, width in self._layout():
            title, style = column.title, plain
            if self.order is not None and self.order.column == column.name:
                arrow = "▼" if self.order.reverse else "▲"
                title, style = f"{title[: width - 1]}{arrow}", sorted_by
            segments += [Segment(clip(title, width, right=column.right), style), Segment(" " * GAP, plain)]
        return Strip(segments)

    def _notice_line(self, y: int, width: int) -> Strip:
        lines = list(self.notice())
        first = max(HEADER_LINES, (self.size.height - len(lines)) // 2)
        text = lines[y - first] if first <= y < first + len(lines) else ""
        style: Style = ink("text" if y == first else "dim", BACKGROUND)
        return Strip([Segment(clip(text.center(width).rstrip(), width), style)])
