"""The application: drains its source at most four times a second, reduces, and shows; only it touches widgets."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from textual.app import App
from textual.binding import BindingType
from textual.message import Message
from textual.timer import Timer

from tinyprof_dashboard import palette
from tinyprof_dashboard.asked import ASK_JOBS_EVERY_S, due
from tinyprof_dashboard.asking import NO_CONNECTION, ScreenName, ask_parts
from tinyprof_dashboard.columns import Moment
from tinyprof_dashboard.events import Event, HistoryAsked, HistoryCame, Key, Source
from tinyprof_dashboard.keys import bindings_of
from tinyprof_dashboard.screens.board import BoardScreen
from tinyprof_dashboard.screens.fleet import FleetScreen
from tinyprof_dashboard.screens.help import HelpScreen
from tinyprof_dashboard.snapshot import Snapshot, collector_for, reduce
from tinyprof_dashboard.widgets.grid import Grid
from tinyprof_protocol.requests import HistoryRequest

if TYPE_CHECKING:
    from tinyprof_dashboard.screens.jobs import JobsScreen
    from tinyprof_dashboard.screens.pipeline import PipelineScreen

REPAINT_S = 0.25
TICK_S = 1.0
HISTORY_POINTS = 500


@runtime_checkable
class Shown(Protocol):
    """A screen that shows a moment."""

    is_mounted: bool

    def show(self, moment: Moment) -> None:
        """Shows it."""


class Woken(Message):
    """The source has something; posted from its thread, once until it is drained."""


class Dashboard(App[None]):
    """The whole dashboard, over a source and two clocks: `wall_ns` since 1970 and `steady_s` for intervals.

    `screen` is the one that it opens at once.
    """

    TITLE = "tinyprof"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("everywhere")
    CSS = """
    Screen { background: $background; }
    Footer { background: $panel; }
    """

    def __init__(
        self,
        source: Source,
        *,
        wall_ns: Callable[[], int],
        steady_s: Callable[[], float],
        tick_s: float = TICK_S,
        screen: ScreenName = "fleet",
    ) -> None:
        super().__init__()
        self.animation_level = "none"
        self.snapshot = Snapshot()
        self._source, self._wall_ns, self._steady_s, self._tick_s = source, wall_ns, steady_s, tick_s
        self._advanced_s = float("-inf")
        self._begin_with = screen
        self._due: Timer | None = None
        self.repaints = 0

    def on_mount(self) -> None:
        """Opens the fleet's screen and starts the source."""
        self.register_theme(palette.THEME)
        self.theme = palette.THEME.name
        self.fleet = FleetScreen(self._source.name)
        self.push_screen(self.fleet)
        if self._begin_with == "pipeline":
            self.on_fleet_screen_pipeline_wanted()
        elif self._begin_with == "jobs":
            self.on_fleet_screen_jobs_wanted()
        self.set_interval(self._tick_s, self._advance, name="tick")
        self._source.start(self._wake)
        self.call_later(self._advance)

    def on_unmount(self) -> None:
        """Ends the source before the event loop ends."""
        self._source.stop()

    def _wake(self) -> None:
        self.post_message(Woken())

    def on_woken(self) -> None:
        """At once where the last time is long enough ago, else as soon as it is."""
        wait_s = self._advanced_s + REPAINT_S - self._steady_s()
        if wait_s <= 0:
            self._advance()
        elif self._due is None:
            self._due = self.set_timer(wait_s, self._advance, name="repaint")

    def _advance(self) -> None:
        """One step: what happened becomes one new snapshot, and the screen in front shows it."""
        if self._due is not None:
            self._due.stop()
            self._due = None
        self._advanced_s = self._steady_s()
        self.take(self._source.drain())

    def take(self, happened: list[Event]) -> None:
        """A batch of events becomes the next snapshot, and the screen in front shows it."""
        self.snapshot = reduce(self.snapshot, happened, self._wall_ns())
        self.show_now()

    def show_now(self) -> None:
        """The screen in front shows the newest snapshot."""
        stack = self.screen_stack
        screen = stack[-1] if stack else None
        if isinstance(screen, Shown) and screen.is_mounted:
            self.repaints += 1
            screen.show(Moment(self.snapshot, self._wall_ns()))

    def on_grid_chosen(self, message: Grid.Chosen) -> None:
        """A board of the fleet's table opens."""
        if message.grid is self.fleet.grid:
            self._open_board(self.fleet.grid.rows[self.fleet.grid.cursor].key)

    def _open_board(self, key: Key) -> None:
        screen = BoardScreen(self._source.name, key, self.fleet.neighbour)
        self.push_screen(screen, self._back_from_board)
        self.call_later(self.show_now)

    def _back_from_board(self, _: None) -> None:
        self._source.follow(None)
        self.show_now()

    def on_board_screen_looked(self, message: BoardScreen.Looked) -> None:
        """The progress of the runs of the agent that is looked at comes as long as somebody looks."""
        self._source.follow(message.node)

    def on_jobs_screen_looked(self, message: "JobsScreen.Looked") -> None:
        """In the same way."""
        self._source.follow(message.node)

    def on_fleet_screen_jobs_wanted(self) -> None:
        """The jobs open; who never looks at them does not wait for their code."""
        from tinyprof_dashboard.screens.jobs import JobsScreen

        self.push_screen(JobsScreen(self._source.name), self._back_from_jobs)
        self.call_later(self.show_now)

    def _back_from_jobs(self, key: Key | None) -> None:
        self._source.follow(None)
        if key is not None:
            self._open_board(key)
        self.show_now()

    def on_jobs_screen_jobs_wanted(self, message: "JobsScreen.JobsWanted") -> None:
        """Asks those of these collectors that have not been asked since the message was posted."""
        wanted = due(self.snapshot.jobs, message.collectors, self._wall_ns(), ASK_JOBS_EVERY_S)
        if wanted:
            self.take(ask_parts(self._source, "jobs", wanted))

    def on_board_screen_history_wanted(self, message: BoardScreen.HistoryWanted) -> None:
        """Asks the collector that holds the board, if one does."""
        node, board = message.key
        collector = collector_for(self.snapshot, node) or ""
        events: list[Event] = [HistoryAsked(message.key, message.metric, collector)]
        request = HistoryRequest(node, board, message.metric, limit=HISTORY_POINTS)
        if collector and not self._source.ask_history(collector, request):
            events.append(HistoryCame(message.key, message.metric, None, NO_CONNECTION))
        self.take(events)

    def on_fleet_screen_pipeline_wanted(self) -> None:
        """The pipeline opens, in the same way."""
        from tinyprof_dashboard.screens.pipeline import PipelineScreen

        self.push_screen(PipelineScreen(self._source.name), self._back_from_pipeline)
        self.call_later(self.show_now)

    def _back_from_pipeline(self, node: str | None) -> None:
        if node is not None:
            self.fleet.show_agent(node)
        self.show_now()

    def on_pipeline_screen_ledgers_wanted(self, message: "PipelineScreen.LedgersWanted") -> None:
        """Asks those of these collectors that have not been asked since the message was posted."""
        wanted = due(self.snapshot.ledgers, message.collectors, self._wall_ns())
        if wanted:
            self.take(ask_parts(self._source, "ledgers", wanted))

    def action_help(self) -> None:
        """Shows the keys."""
        self.push_screen(HelpScreen(), lambda _: self.show_now())
