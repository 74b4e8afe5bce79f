"""The fleet: every board in a line, the states above, a filter below."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from tinyprof_dashboard import selection
from tinyprof_dashboard.availability import HEALTHS, SECOND_NS
from tinyprof_dashboard.banners import banners, is_connecting
from tinyprof_dashboard.columns import COLUMNS, Moment
from tinyprof_dashboard.events import Key
from tinyprof_dashboard.jobs.tallies import short, tallies
from tinyprof_dashboard.keys import bindings_of
from tinyprof_dashboard.numerals import age
from tinyprof_dashboard.palette import ink
from tinyprof_dashboard.query import BadQuery
from tinyprof_dashboard.selection import View
from tinyprof_dashboard.snapshot import Row
from tinyprof_dashboard.widgets.bars import Banners, SummaryStrip, TopBar, link_sign
from tinyprof_dashboard.widgets.grid import Grid
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.presence import Health

_FAULTS: frozenset[Health] = frozenset(HEALTHS) - {"healthy"}


class FilterInput(Input):
    """Where the filter is written; its keys go before the table's."""

    BINDINGS: ClassVar[list[BindingType]] = bindings_of("filter")

    def action_keep(self) -> None:
        """Back to the table, filtered."""
        self.screen.query_one(Grid).focus()

    def action_drop(self) -> None:
        """Back to the table, all of it."""
        self.value = ""
        self.screen.query_one(Grid).focus()


class FleetScreen(Screen[None]):
    """The first screen."""

    BINDINGS: ClassVar[list[BindingType]] = bindings_of("fleet")
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-high")]  # noqa: RUF012  (Textual declares it so)
    CSS = """
    FleetScreen { layout: vertical; }
    FleetScreen.-low SummaryStrip { height: 2; padding: 0 1; }
    FleetScreen #filter { height: 1; background: $panel; padding: 0 1; display: none; }
    FleetScreen #filter.-open { display: block; }
    FleetScreen #slash { width: 2; color: $accent; }
    FleetScreen FilterInput { border: none; height: 1; padding: 0; width: 1fr; background: $panel; }
    FleetScreen FilterInput:focus { border: none; background-tint: transparent; }
    FleetScreen #told { width: auto; max-width: 70%; }
    """

    class PipelineWanted(Message):
        """The pipeline's screen should open."""

    class JobsWanted(Message):
        """The jobs' screen should open."""

    def __init__(self, broker: str) -> None:
        super().__init__()
        self._broker = broker
        self._moment: Moment | None = None
        self._frozen: Moment | None = None
        self._drawn: tuple[object, View] | None = None
        self._error = ""
        self.view = View()
        self.grid: Grid[Row] = Grid(COLUMNS, order=self.view.order)
        self.grid.notice = self._notice

    def compose(self) -> ComposeResult:
        """Top to bottom."""
        yield TopBar()
        yield Banners()
        yield SummaryStrip()
        yield self.grid
        with Horizontal(id="filter"):
            yield Static("/", id="slash", markup=False)
            yield FilterInput(placeholder="berlin state:critical decode<5 | age>1m", select_on_focus=False)
            yield Static("", id="told", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """The table has the keys."""
        self.query_one(FilterInput).cursor_blink = False
        self.grid.focus()

    # ---- what is shown

    def show(self, moment: Moment) -> None:
        """Shows a moment: everything but a frozen table."""
        self._moment = moment
        snapshot = moment.snapshot
        self.query_one(TopBar).show(self._left(moment), self._right(moment))
        self.query_one(Banners).show(banners(snapshot, self._broker, moment.now_ns))
        self.query_one(SummaryStrip).show(snapshot.counts, self._chosen_states())
        self._show_table()

    def _show_table(self) -> None:
        moment = self._frozen or self._moment
        if moment is None:
            return
        drawn = (moment.snapshot.rows, self.view)
        same = self._drawn is not None and self._drawn[0] is drawn[0] and self._drawn[1] == self.view
        if same and not self.view.follows_time:
            self.grid.tick(moment)
        else:
            self._drawn = drawn
            self.grid.show(selection.select(self.view, moment), moment, order=self.view.order)
            self.refresh_bindings()
        self._tell()

    def change(self, view: View) -> None:
        """Shows the table under another view."""
        self.view = view
        if self._moment is not None:
            self.show(self._moment)

    def _chosen_states(self) -> frozenset[Health]:
        if self.view.health is not None:
            return frozenset({self.view.health})
        return _FAULTS if self.view.faults else frozenset()

    def _left(self, moment: Moment) -> Text:
        text = Text("tinyprof ", ink("strong"), no_wrap=True).append("▸ fleet", ink("accent"))
        snapshot = moment.snapshot
        alive = sum(1 for heard in snapshot.collectors.values() if heard.alive)
        counts = ((len(snapshot.rows), "board"), (len(snapshot.agents), "agent"), (alive, "collector"))
        words = " · ".join(some(count, what) for count, what in counts)
        asked = short(tallies(snapshot))
        return text.append(f"   {words}{f' · {asked}' if asked else ''}", ink("dim"))

    def _right(self, moment: Moment) -> Text:
        text = Text(no_wrap=True)
        if self._frozen is not None:
            since_s = (moment.now_ns - self._frozen.now_ns) / SECOND_NS
            text.append(f"‖ frozen {age(since_s)} ", ink("warning")).append("  ")
        return text.append_text(link_sign(moment.snapshot.link, self._broker))

    def _tell(self) -> None:
        bar = self.query_one("#filter")
        writing = self.query_one(FilterInput).has_focus
        bar.set_class(writing or self.view.filtered or bool(self._error), "-open")
        told = Text(no_wrap=True, overflow="ellipsis")
        if self._error:
            told.append(self._error, ink("critical"))
        elif self._moment is not None:
            total = len((self._frozen or self._moment).snapshot.rows)
            only = ", ".join(sorted(self._chosen_states(), key=HEALTHS.index))
            told.append(f"{only}  " if only else "", ink("accent"))
            told.append(f"{len(self.grid.rows)} of {total}", ink("dim"))
        self.query_one("#told", Static).update(told)

    def _notice(self) -> Sequence[str]:
        if self._moment is None:
            return ()
        snapshot = self._moment.snapshot
        if snapshot.rows:
            return ("No board matches.", "Esc shows them all again.")
        if is_connecting(snapshot):
            return (f"Connecting to {self._broker} …",)
        if not snapshot.link.connected:
            return ("No broker, no boards.", "Start one, or name another with --broker.")
        return (
            "No board has been heard of yet.",
            "Boards appear once an agent and a collector run:",
            "tinyprof collector run, and tinyprof agent run",
        )

    # ---- what the user does

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Whether a key works now; the footer shows only those."""
        if action == "open":
            return bool(self.grid.rows)
        if action == "reset":
            return self.view.filtered or self._frozen is not None or bool(self._error)
        if action == "filter" and isinstance(self.focused, FilterInput):
            return False
        if action in ("sort", "reverse", "freeze", "faults", "filter"):
            return self._moment is not None and bool(self._moment.snapshot.rows)
        return True

    def on_grid_title_clicked(self, message: Grid.TitleClicked) -> None:
        """A title sorts by its column, and again turns the order round."""
        self.change(selection.sort_by(self.view, message.column))

    def on_summary_strip_picked(self, message: SummaryStrip.Picked) -> None:
        """A state in the strip chooses its boards, and again lets it go."""
        self._choose_state(message.health)

    def on_input_changed(self, message: Input.Changed) -> None:
        """Filters as it is written; one that cannot be understood leaves the last good one at work."""
        try:
            view = selection.with_query(self.view, message.value)
        except BadQuery as why:
            self._error = str(why)
            self._tell()
            return
        self._error = ""
        self.change(view)

    def on_descendant_blur(self) -> None:
        """The filter's line closes when it is left empty."""
        self.call_later(self._tell)

    def action_filter(self) -> None:
        """Opens the filter."""
        self.query_one("#filter").add_class("-open")
        self.query_one(FilterInput).focus()

    def action_faults(self) -> None:
        """Only boards that are not healthy."""
        self.change(replace(self.view, faults=not self.view.faults, health=None))

    def action_state(self, number: int) -> None:
        """Only boards in one state."""
        self._choose_state(HEALTHS[number - 1])

    def action_every_state(self) -> None:
        """Boards in every state."""
        self.change(replace(self.view, faults=False, health=None))

    def _choose_state(self, health: Health) -> None:
        self.change(replace(self.view, faults=False, health=None if self.view.health == health else health))

    def action_sort(self, step: int) -> None:
        """Sorts by the column beside."""
        self.change(selection.sort_beside(self.view, step))

    def action_reverse(self) -> None:
        """Turns the order round."""
        self.change(selection.reversed_order(self.view))

    def action_freeze(self) -> None:
        """Holds the table, or lets it go on."""
        self._frozen = self._moment if self._frozen is None else None
        if self._moment is not None:
            self.show(self._moment)
        self.refresh_bindings()

    def action_reset(self) -> None:
        """Undoes one thing: the filter, the states, the freeze."""
        if self.view.query or self._error:
            self.query_one(FilterInput).value = ""
        elif self.view.filtered:
            self.action_every_state()
        else:
            self._frozen = self._moment
            self.action_freeze()

    def action_open(self) -> None:
        """Opens the board under the cursor."""
        self.grid.choose()

    def action_pipeline(self) -> None:
        """Opens the pipeline."""
        self.post_message(self.PipelineWanted())

    def action_jobs(self) -> None:
        """Opens the jobs."""
        self.post_message(self.JobsWanted())

    def show_agent(self, node: str) -> None:
        """Only the boards of one agent: as if the filter had been written."""
        self.query_one(FilterInput).value = f"node={node}"

    def neighbour(self, key: Key, step: int) -> Key | None:
        """The board `step` lines from `key` in the table; the cursor goes there too."""
        keys = [row.key for row in self.grid.rows]
        if key not in keys:
            return None
        self.grid.action_move(max(0, min(len(keys) - 1, keys.index(key) + step)) - self.grid.cursor)
        return self.grid.rows[self.grid.cursor].key
