"""The pipeline: from board to store, where each record is, and where the flow is stuck."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, Static

from tinyprof_dashboard.asked import due
from tinyprof_dashboard.banners import is_connecting
from tinyprof_dashboard.columns import Moment
from tinyprof_dashboard.keys import bindings_of
from tinyprof_dashboard.pipeline import view as views
from tinyprof_dashboard.pipeline.columns import COLLECTOR_COLUMNS, LEDGER_COLUMNS
from tinyprof_dashboard.pipeline.lines import CollectorLine, LedgerLine, ledger_lines
from tinyprof_dashboard.pipeline.listing import scene_of
from tinyprof_dashboard.pipeline.stages import stages, verdict
from tinyprof_dashboard.pipeline.view import LedgerView
from tinyprof_dashboard.pipeline.words import collector_words, epoch_words, sums_line
from tinyprof_dashboard.widgets.bars import TopBar, link_sign, way
from tinyprof_dashboard.widgets.grid import HEADER_LINES, Grid
from tinyprof_dashboard.widgets.stage_strip import StageStrip

MAX_COLLECTORS_SHOWN = 4


class PipelineScreen(Screen[str | None]):
    """The screen of the records' way; ends with an agent whose boards are wanted, or None."""

    BINDINGS: ClassVar[list[BindingType]] = bindings_of("pipeline")
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-high")]  # noqa: RUF012  (Textual declares it so)
    CSS = """
    PipelineScreen { layout: vertical; }
    PipelineScreen Static { text-overflow: ellipsis; }
    PipelineScreen #collectors { height: 3; }
    PipelineScreen #sums { height: 2; padding: 1 1 0 1; text-wrap: nowrap; }
    PipelineScreen #ledger { height: 1fr; }
    PipelineScreen #words { height: 5; padding: 0 1; background: $panel; }
    PipelineScreen.-low StageStrip { height: 6; padding: 0 1; }
    PipelineScreen.-low #sums { height: 1; padding: 0 1; }
    """

    class LedgersWanted(Message):
        """These collectors should be asked for their ledgers."""

        def __init__(self, collectors: tuple[str, ...]) -> None:
            super().__init__()
            self.collectors = collectors

    def __init__(self, broker: str) -> None:
        super().__init__()
        self._broker = broker
        self._moment: Moment | None = None
        self.view = LedgerView()
        self.collectors: Grid[CollectorLine] = Grid(COLLECTOR_COLUMNS)
        self.collectors.id = "collectors"
        self.collectors.notice = lambda: ("No collector has been heard of.",)
        self.ledger: Grid[LedgerLine] = Grid(LEDGER_COLUMNS, order=self.view.order)
        self.ledger.id = "ledger"
        self.ledger.notice = self._notice

    def compose(self) -> ComposeResult:
        """Top to bottom."""
        yield TopBar()
        yield StageStrip()
        yield self.collectors
        yield Static("", id="sums", markup=False)
        yield self.ledger
        yield Static("", id="words", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """The ledger has the keys."""
        self.ledger.focus()

    def show(self, moment: Moment) -> None:
        """Shows a moment, and asks for the ledger where it is time to."""
        self._moment = moment
        snapshot = moment.snapshot
        scene = scene_of(moment)
        told, lines = scene.collectors, scene.lines
        self.query_one(TopBar).show(way("pipeline"), link_sign(snapshot.link, self._broker))
        self.query_one(StageStrip).show(stages(scene), verdict(scene))
        self.collectors.styles.height = HEADER_LINES + max(1, min(len(told), MAX_COLLECTORS_SHOWN))
        self.collectors.show(told, moment)
        shown = views.select(self.view, lines, moment)
        self.ledger.show(shown, moment, order=self.view.order)
        self.query_one("#sums", Static).update(sums_line(scene.sums, len(shown), len(lines), snapshot))
        self._show_words()
        self.refresh_bindings()
        wanted = due(snapshot.ledgers, (line.key for line in told if line.heard.alive), moment.now_ns)
        if wanted and snapshot.link.connected:
            self.post_message(self.LedgersWanted(tuple(wanted)))

    def _show_words(self) -> None:
        if self._moment is None:
            return
        panel = self.query_one("#words", Static)
        width = panel.content_size.width or self.size.width - 2
        lines: list[Text] = []
        if self.focused is self.collectors and self.collectors.rows:
            lines = collector_words(self.collectors.rows[self.collectors.cursor], self._moment, width)
        elif self.ledger.rows:
            lines = epoch_words(self.ledger.rows[self.ledger.cursor], self._moment, width)
        panel.update(Text("\n", no_wrap=True).join(lines))

    def _notice(self) -> Sequence[str]:
        if self._moment is None:
            return ()
        snapshot = self._moment.snapshot
        if is_connecting(snapshot):
            return (f"Connecting to {self._broker} …",)
        if self.view.unsettled and ledger_lines(snapshot):
            return ("Every record has its place.", "u shows all epochs again.")
        if any(part.waiting for part in snapshot.ledgers.values()):
            return ("Asking the collectors where every record is …",)
        return ("No agent has made a record yet.",)

    # ---- what the user does

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Whether a key works now; the footer shows only those."""
        if action in ("boards", "sort", "reverse"):
            return bool(self.ledger.rows)
        if action == "unsettled":
            return self._moment is not None and (self.view.unsettled or bool(self.ledger.rows))
        return True

    def change(self, view: LedgerView) -> None:
        """Shows the ledger under another view."""
        self.view = view
        if self._moment is not None:
            self.show(self._moment)

    def on_grid_moved(self, _message: Grid.Moved) -> None:
        """The lines below follow the cursor."""
        self._show_words()

    def on_descendant_focus(self) -> None:
        """The lines below speak of the table that has the keys."""
        self._show_words()

    def on_grid_title_clicked(self, message: Grid.TitleClicked) -> None:
        """A title of the ledger sorts it."""
        if message.grid is self.ledger:
            self.change(views.sort_by(self.view, message.column))

    def on_grid_chosen(self, message: Grid.Chosen) -> None:
        """A second click on an epoch opens its agent's boards."""
        message.stop()
        if message.grid is self.ledger:
            self.action_boards()

    def action_back(self) -> None:
        """Back to the fleet."""
        self.dismiss(None)

    def action_boards(self) -> None:
        """Back to the fleet, to the boards of the agent under the cursor."""
        if self.ledger.rows:
            self.dismiss(self.ledger.rows[self.ledger.cursor].node)

    def action_other_table(self) -> None:
        """The keys go to the other table."""
        (self.ledger if self.focused is self.collectors else self.collectors).focus()

    def action_unsettled(self) -> None:
        """Only what is not where it should be, or all again."""
        self.change(replace(self.view, unsettled=not self.view.unsettled))

    def action_sort(self, step: int) -> None:
        """Sorts by the column beside."""
        self.change(views.sort_beside(self.view, step))

    def action_reverse(self) -> None:
        """Turns the order round."""
        self.change(views.reversed_order(self.view))
