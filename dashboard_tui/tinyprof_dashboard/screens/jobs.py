"""The jobs: runs that clients have asked for, what became of them, and what the caches answered instead."""

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, Static

from tinyprof_dashboard.asked import ASK_JOBS_EVERY_S, due
from tinyprof_dashboard.asking import live_collectors
from tinyprof_dashboard.banners import is_connecting
from tinyprof_dashboard.columns import Moment
from tinyprof_dashboard.events import Key
from tinyprof_dashboard.jobs.columns import JOB_COLUMNS
from tinyprof_dashboard.jobs.lines import JobLine, job_lines, open_counts
from tinyprof_dashboard.jobs.tallies import tallies
from tinyprof_dashboard.jobs.words import job_words, tally_lines
from tinyprof_dashboard.keys import bindings_of
from tinyprof_dashboard.widgets.bars import TopBar, link_sign, way
from tinyprof_dashboard.widgets.grid import Grid


class JobsScreen(Screen[Key | None]):
    """The screen of the jobs; ends with a board that is to be opened, or None."""

    BINDINGS: ClassVar[list[BindingType]] = bindings_of("jobs")
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-high")]  # noqa: RUF012  (Textual declares it so)
    CSS = """
    JobsScreen { layout: vertical; }
    JobsScreen #tallies { height: auto; max-height: 6; padding: 1 1; }
    JobsScreen Grid { height: 1fr; }
    JobsScreen #words { height: 6; padding: 0 1; background: $panel; }
    JobsScreen.-low #tallies { padding: 0 1; }
    """

    class JobsWanted(Message):
        """These collectors should be asked for their jobs."""

        def __init__(self, collectors: tuple[str, ...]) -> None:
            super().__init__()
            self.collectors = collectors

    class Looked(Message):
        """Somebody looks at a run of this agent, or at none."""

        def __init__(self, node: str | None) -> None:
            super().__init__()
            self.node = node

    def __init__(self, broker: str) -> None:
        super().__init__()
        self._broker = broker
        self._moment: Moment | None = None
        self._looked: str | None = None
        self.open_only = False
        self.grid: Grid[JobLine] = Grid(JOB_COLUMNS)
        self.grid.notice = self._notice

    def compose(self) -> ComposeResult:
        """Top to bottom."""
        yield TopBar()
        yield Static("", id="tallies", markup=False)
        yield self.grid
        yield Static("", id="words", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """The table has the keys."""
        self.grid.focus()

    def show(self, moment: Moment) -> None:
        """Shows a moment, and asks for the jobs where it is time to."""
        self._moment = moment
        snapshot = moment.snapshot
        self.query_one(TopBar).show(way("jobs"), link_sign(snapshot.link, self._broker))
        width = max(20, self.size.width - 2)
        lines = job_lines(snapshot, moment.now_ns)
        told = tally_lines(open_counts(snapshot, lines), tallies(snapshot), snapshot, width)
        self.query_one("#tallies", Static).update(Text("\n", no_wrap=True).join(told))
        self.grid.show([line for line in lines if line.open or not self.open_only], moment)
        self._show_words()
        self.refresh_bindings()
        wanted = due(snapshot.jobs, live_collectors(snapshot), moment.now_ns, ASK_JOBS_EVERY_S)
        if wanted and snapshot.link.connected:
            self.post_message(self.JobsWanted(tuple(wanted)))

    def _show_words(self) -> None:
        line = self._line()
        if self._moment is not None:
            told = job_words(line, self._moment, max(20, self.size.width - 2))
            self.query_one("#words", Static).update(Text("\n", no_wrap=True).join(told))
        looked = line.place[0] if line is not None and line.open else None
        if looked != self._looked:
            self._looked = looked
            self.post_message(self.Looked(looked))

    def _line(self) -> JobLine | None:
        return self.grid.rows[self.grid.cursor] if self.grid.rows else None

    def _notice(self) -> Sequence[str]:
        if self._moment is None:
            return ()
        snapshot = self._moment.snapshot
        if is_connecting(snapshot):
            return (f"Connecting to {self._broker} …",)
        if any(part.waiting and part.reply is None for part in snapshot.jobs.values()):
            return ("Asking the collectors for their jobs …",)
        if self.open_only and job_lines(snapshot, self._moment.now_ns):
            return ("No job is open.", "u shows those that have ended too.")
        return ("No client has asked for a run.", "tinyprof profile BOARD asks for one.")

    # ---- what the user does

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Whether a key works now; the footer shows only those."""
        if action == "board":
            line = self._line()
            return line is not None and self._moment is not None and line.place in self._moment.snapshot.rows
        return True

    def on_grid_moved(self, _message: Grid.Moved) -> None:
        """The lines below follow the cursor."""
        self._show_words()
        self.refresh_bindings()

    def on_grid_chosen(self, message: Grid.Chosen) -> None:
        """A second click on a job opens its board."""
        message.stop()
        if self.check_action("board", ()):
            self.action_board()

    def action_back(self) -> None:
        """Back to the fleet."""
        self.dismiss(None)

    def action_board(self) -> None:
        """The board of the job under the cursor."""
        line = self._line()
        if line is not None:
            self.dismiss(line.place)

    def action_open_only(self) -> None:
        """Only jobs that are open, or all again."""
        self.open_only = not self.open_only
        if self._moment is not None:
            self.show(self._moment)
