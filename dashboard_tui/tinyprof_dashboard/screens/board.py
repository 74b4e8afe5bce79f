"""One board: who it is, its figures with their intervals, a metric over time, its recent runs."""

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, Static

from tinyprof_dashboard import runs
from tinyprof_dashboard.banners import banners
from tinyprof_dashboard.columns import Moment
from tinyprof_dashboard.events import Key
from tinyprof_dashboard.keys import bindings_of
from tinyprof_dashboard.palette import ink
from tinyprof_dashboard.runs import RUN_COLUMNS, Run
from tinyprof_dashboard.snapshot import History, Row
from tinyprof_dashboard.widgets.bars import Banners, TopBar, way
from tinyprof_dashboard.widgets.grid import Grid
from tinyprof_dashboard.widgets.plot_panel import PlotPanel


class BoardScreen(Screen[None]):
    """The screen of one board."""

    BINDINGS: ClassVar[list[BindingType]] = bindings_of("board")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012  (Textual declares it so)
    VERTICAL_BREAKPOINTS = [(0, "-low"), (32, "-high")]  # noqa: RUF012
    CSS = """
    BoardScreen { layout: vertical; }
    BoardScreen #facts { height: auto; min-height: 5; max-height: 6; padding: 1 1 0 1; }
    BoardScreen #middle { height: 2fr; padding: 1 0 0 0; }
    BoardScreen Static { text-wrap: nowrap; text-overflow: ellipsis; }
    BoardScreen #figures { width: 62; padding: 0 1; height: 100%; }
    BoardScreen Grid { height: 1fr; }
    BoardScreen #run { height: 3; padding: 0 1; background: $panel; }
    BoardScreen.-narrow #figures { display: none; }
    BoardScreen.-low #middle { padding: 0; height: 1fr; }
    BoardScreen.-low #facts { min-height: 4; max-height: 5; padding: 0 1; }
    BoardScreen.-low Grid { height: 7; }
    """

    class HistoryWanted(Message):
        """A board's history should be asked for."""

        def __init__(self, key: Key, metric: str) -> None:
            super().__init__()
            self.key, self.metric = key, metric

    class Looked(Message):
        """Somebody looks at the runs of this agent's boards."""

        def __init__(self, node: str) -> None:
            super().__init__()
            self.node = node

    def __init__(self, broker: str, key: Key, neighbour: Callable[[Key, int], Key | None]) -> None:
        super().__init__()
        self._broker, self._key, self._neighbour = broker, key, neighbour
        self._metric = ""
        self._asked_for: tuple[Key, str, int | None, int] | None = None
        self._moment: Moment | None = None
        self._listed: list[Run] | None = None
        self.grid: Grid[Run] = Grid(RUN_COLUMNS)
        self.grid.notice = self._notice

    def compose(self) -> ComposeResult:
        """Top to bottom."""
        yield TopBar()
        yield Banners()
        yield Static("", id="facts", markup=False)
        with Horizontal(id="middle"):
            yield Static("", id="figures", markup=False)
            yield PlotPanel()
        yield self.grid
        yield Static("", id="run", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """The list of runs has the keys."""
        self.grid.focus()
        self.post_message(self.Looked(self._key[0]))

    def show(self, moment: Moment) -> None:
        """Shows the board at a moment, and asks for its history where there is a newer run."""
        self._moment = moment
        row = moment.snapshot.rows.get(self._key)
        self.query_one(TopBar).show(self._left(), self._right(row))
        self.query_one(Banners).show(banners(moment.snapshot, self._broker, moment.now_ns))
        if row is None:
            self.query_one("#facts", Static).update(Text("This board is no longer in the fleet.", ink("warning")))
            return
        if not self._metric or self._metric not in runs.metrics_of(row.summary):
            self._metric = runs.metrics_of(row.summary)[0]
        self.query_one("#facts", Static).update(runs.facts(row, moment))
        figures = self.query_one("#figures", Static)
        figures.update(runs.last_figures(row, self._metric, figures.size.height or 8))
        self._ask(row)
        self._show_history(moment)

    def _ask(self, row: Row) -> None:
        # A run that a client asked for may change nothing but the count.
        wanted = (self._key, self._metric, row.summary.last_result_ns, row.summary.results)
        if wanted != self._asked_for:
            self._asked_for = wanted
            self.post_message(self.HistoryWanted(self._key, self._metric))

    def _show_history(self, moment: Moment) -> None:
        history: History | None = moment.snapshot.history
        if history is not None and history.key != self._key:
            history = None
        fitting = history if history is not None and history.metric == self._metric else None
        points = fitting.reply.points if fitting is not None and fitting.reply is not None else []
        self.query_one(PlotPanel).show(self._metric, points, runs.notice_of(history, moment.now_ns), moment.now_ns)
        listed = runs.runs_of(history)
        if listed != self._listed:
            self._listed = listed
            self.grid.show(listed, moment)
        else:
            self.grid.tick(moment)
        self._show_run()

    def _show_run(self) -> None:
        run = self.grid.rows[self.grid.cursor] if self.grid.rows else None
        self.query_one("#run", Static).update(runs.run_lines(run))

    def _left(self) -> Text:
        node, board = self._key
        site, _, agent = node.partition(".")
        return way(site, agent, board)

    def _right(self, row: Row | None) -> Text:
        return Text("" if row is None else f"partition {row.partition:02d}", ink("faint"), no_wrap=True)

    def _notice(self) -> tuple[str, ...]:
        if self._moment is None:
            return ()
        history = self._moment.snapshot.history
        return (runs.notice_of(history, self._moment.now_ns) or "No runs are stored for this board.",)

    def on_grid_moved(self, message: Grid.Moved) -> None:
        """The lines below the table follow its cursor."""
        if message.grid is self.grid:
            self._show_run()

    def action_back(self) -> None:
        """Back to the fleet."""
        self.dismiss()

    def action_metric(self, step: int) -> None:
        """Plots another metric."""
        row = self._moment.snapshot.rows.get(self._key) if self._moment is not None else None
        if row is None or self._moment is None:
            return
        names = runs.metrics_of(row.summary)
        self._metric = names[(names.index(self._metric) + step) % len(names)]
        self.show(self._moment)

    def action_neighbour(self, step: int) -> None:
        """Another board of the fleet's table."""
        key = self._neighbour(self._key, step)
        if key is None or key == self._key or self._moment is None:
            return
        self._key, self._listed = key, None
        self.post_message(self.Looked(key[0]))
        self.show(self._moment)
