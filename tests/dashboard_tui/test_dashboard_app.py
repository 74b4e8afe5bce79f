import asyncio
import itertools
import threading
from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import Footer

from tinyprof_dashboard import example_fleet as example
from tinyprof_dashboard.app import Dashboard
from tinyprof_dashboard.events import BoardSeen, CollectorSeen, Event, HistoryCame, LinkChanged
from tinyprof_dashboard.example_fleet import NOW_NS, SECOND_NS, ExampleSource
from tinyprof_dashboard.keys import KEYS, SCOPES
from tinyprof_dashboard.query import NUMBER_FIELDS, TEXT_FIELDS
from tinyprof_dashboard.screens.board import BoardScreen
from tinyprof_dashboard.screens.help import HelpScreen, help_text
from tinyprof_dashboard.widgets.bars import Banners
from tinyprof_dashboard.widgets.plot_panel import PlotPanel
from tinyprof_protocol.presence import CollectorStatus

DOCUMENT = Path(__file__).parents[2] / "docs" / "dashboard.md"


class Clock:
    """Wall time that stands still until it is moved; steady time does too, or runs on with each look at it."""

    def __init__(self, *, still: bool = False) -> None:
        self.seconds = 0.0
        self.looks = itertools.repeat(0.0) if still else itertools.count(0.0, 1.0)

    def wall_ns(self) -> int:
        return NOW_NS + round(self.seconds * SECOND_NS)

    def steady_s(self) -> float:
        return next(self.looks)


def dashboard(events: list[Event], clock: Clock | None = None) -> tuple[Dashboard, ExampleSource]:
    clock = clock or Clock()
    source = ExampleSource(events, answer=example.history)
    return Dashboard(source, wall_ns=clock.wall_ns, steady_s=clock.steady_s, tick_s=3600), source


async def settle(pilot: "Pilot[None]") -> None:
    """Until what was asked has been answered and shown: each step is a message of its own."""
    for _ in range(4):
        await pilot.pause()


def footer_of(app: Dashboard) -> set[str]:
    return {binding.binding.description for binding in app.screen.active_bindings.values() if binding.binding.show
            and binding.enabled}  # fmt: skip


def test_a_flood_of_events_from_another_thread_is_a_handful_of_repaints() -> None:
    app, source = dashboard(example.two_sites(), Clock(still=True))

    async def run() -> None:
        async with app.run_test() as pilot:
            await pilot.pause()
            before = app.repaints

            def flood() -> None:
                for index in range(2000):
                    source.play(BoardSeen(example.board("berlin.bench", f"b{index % 50}", seed=index)))

            thread = threading.Thread(target=flood)
            thread.start()
            while thread.is_alive():
                await pilot.pause(0.01)
            for _ in range(200):
                if len(app.snapshot.rows) == 64 and not source.drain():
                    break
                await pilot.pause(0.05)
            # The clock stands still, so that the whole flood lies within one repaint interval: each repaint
            # after it is one that waited for its turn on the real timer, four a second at most.
            assert len(app.snapshot.rows) == 64
            assert 1 <= app.repaints - before <= 40

    asyncio.run(run())
    assert source.stopped


def test_the_first_event_after_a_quiet_time_is_shown_at_once() -> None:
    clock = Clock()
    app, source = dashboard(example.two_sites(), clock)

    async def run() -> None:
        async with app.run_test() as pilot:
            await pilot.pause()
            clock.seconds += 1
            source.play(BoardSeen(example.board("berlin.bench", "late")))
            await pilot.pause()
            assert ("berlin.bench", "late") in app.snapshot.rows

    asyncio.run(run())


def test_freezing_holds_the_table_while_the_header_lives() -> None:
    clock = Clock()
    app, source = dashboard(example.two_sites(), clock)

    async def run() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            await pilot.pause()
            await pilot.press("space")
            clock.seconds += 2
            source.play(BoardSeen(example.board("aachen.x", "new", health="critical")),
                        LinkChanged(False, "broker gone", 1, NOW_NS))  # fmt: skip
            await pilot.pause()
            assert len(app.fleet.grid.rows) == 14
            assert app.screen.query_one(Banners).has_class("-some")
            assert app.snapshot.counts["critical"] == 1
            await pilot.press("space")
            await pilot.pause()
            assert app.fleet.grid.rows[0].board == "new"

    asyncio.run(run())


def test_states_and_faults_filter_and_escape_undoes_them() -> None:
    app, _ = dashboard(example.troubled())

    async def run() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            await pilot.pause()
            everything = len(app.fleet.grid.rows)
            await pilot.press("f")
            assert {row.health for row in app.fleet.grid.rows} == {"warning", "critical", "stale", "offline"}
            await pilot.press("4")
            assert {row.health for row in app.fleet.grid.rows} == {"stale"}
            await pilot.press("4")
            assert len(app.fleet.grid.rows) == everything
            await pilot.press("5", "escape")
            assert len(app.fleet.grid.rows) == everything

    asyncio.run(run())


def test_the_board_screen_asks_its_collector_and_switches_metrics() -> None:
    app, source = dashboard(example.troubled())

    async def run() -> None:
        async with app.run_test(size=(140, 40)) as pilot:
            await pilot.pause()
            await pilot.press("enter")
            await settle(pilot)
            screen = app.screen
            assert isinstance(screen, BoardScreen)
            assert [(collector, asked.board, asked.metric) for collector, asked in source.asked] == [
                ("hub", "rp2040-8", "decode_tps")
            ]
            assert len(screen.grid.rows) == 12
            assert screen.grid.rows[5].result.verdict == "invalid"
            await pilot.press("m")
            await settle(pilot)
            assert source.asked[-1][1].metric == "ttft_ms"
            assert "TTFT" in screen.query_one(PlotPanel).render().plain
            await pilot.press("M", "n")
            await settle(pilot)
            assert source.asked[-1][1].board == app.fleet.grid.rows[1].board
            await pilot.press("escape")
            await pilot.pause()
            assert app.screen is app.fleet
            assert app.fleet.grid.cursor == 1

    asyncio.run(run())


def test_a_new_run_of_the_open_board_asks_again_and_nothing_else_does() -> None:
    clock = Clock()
    app, source = dashboard(example.two_sites(), clock)

    async def run() -> None:
        async with app.run_test(size=(140, 40)) as pilot:
            await pilot.pause()
            await pilot.press("enter")
            await settle(pilot)
            node, name = app.fleet.grid.rows[0].key
            asked = len(source.asked)
            clock.seconds += 5
            source.play(BoardSeen(example.board("oslo.rack1", "other", now_ns=clock.wall_ns())))
            await settle(pilot)
            assert len(source.asked) == asked
            clock.seconds += 5
            source.play(BoardSeen(example.board(node, name, now_ns=clock.wall_ns())))
            await settle(pilot)
            assert len(source.asked) == asked + 1

    asyncio.run(run())


def test_a_history_that_cannot_be_had_says_why() -> None:
    source = ExampleSource(example.two_sites())
    clock = Clock()
    app = Dashboard(source, wall_ns=clock.wall_ns, steady_s=clock.steady_s, tick_s=3600)

    async def run() -> None:
        async with app.run_test(size=(140, 40)) as pilot:

            async def told(*events: Event) -> str:
                clock.seconds += 7
                source.play(*events)
                await pilot.pause()
                await pilot.pause()
                return app.screen.query_one(PlotPanel).render().plain

            await pilot.pause()
            await pilot.press("enter")
            await pilot.pause()
            key = app.fleet.grid.rows[0].key
            assert "has not answered for 7s" in await told(LinkChanged(True))
            assert "the store is closed" in await told(HistoryCame(key, "decode_tps", None, "the store is closed"))
            await told(CollectorSeen(CollectorStatus("hub", "offline"), live=True))
            await pilot.press("m")
            assert "no live collector holds this board" in await told()

    asyncio.run(run())


def test_the_footer_shows_the_keys_that_work_now() -> None:
    async def keys(pilot: "Pilot[None]", app: Dashboard) -> set[str]:
        await pilot.pause()
        assert app.screen.query_one(Footer)
        return footer_of(app)

    async def run() -> None:
        app, _ = dashboard([])
        async with app.run_test() as pilot:
            assert await keys(pilot, app) == {"pipeline", "jobs", "quit", "help"}
        app, _ = dashboard(example.two_sites())
        async with app.run_test() as pilot:
            assert await keys(pilot, app) >= {"open", "filter", "faults", "sort", "freeze", "quit", "help"}
            assert "clear" not in await keys(pilot, app)
            await pilot.press("1")
            assert "clear" in await keys(pilot, app)
            await pilot.press("slash")
            assert await keys(pilot, app) >= {"keep", "drop"}
            assert "filter" not in await keys(pilot, app)

    asyncio.run(run())


def test_help_opens_and_closes_and_quit_ends_the_source() -> None:
    app, source = dashboard(example.two_sites())

    async def run() -> None:
        async with app.run_test() as pilot:
            await pilot.pause()
            await pilot.press("question_mark")
            assert isinstance(app.screen, HelpScreen)
            await pilot.press("escape")
            await pilot.pause()
            assert app.screen is app.fleet
            await pilot.press("q")

    asyncio.run(run())
    assert source.stopped
    assert app.return_code == 0


def test_ctrl_c_leaves_even_while_filtering() -> None:
    app, source = dashboard(example.two_sites())

    async def run() -> None:
        async with app.run_test() as pilot:
            await pilot.pause()
            await pilot.press("slash", "q", "ctrl+c")
            assert app.fleet.view.query == "q"

    asyncio.run(run())
    assert source.stopped
    assert app.return_code == 0


def test_every_key_is_in_the_help_and_in_the_document() -> None:
    document, shown = DOCUMENT.read_text(), help_text().plain
    for title in SCOPES.values():
        assert f"### {title}" in document
    rows = {line for line in document.splitlines() if line.startswith("| `")}
    expected = {f"| `{key.shown}` | {key.meaning} |" for key in KEYS}
    assert rows >= expected
    keys_section = document.split("## Keys")[1].split("\n## ")[0]
    assert {line for line in keys_section.splitlines() if line.startswith("| `")} == expected
    assert all(key.shown in shown for key in KEYS)


def test_every_field_of_the_filter_is_in_the_document() -> None:
    section = DOCUMENT.read_text().split("## The filter")[1].split("\n## ")[0]
    assert all(f"`{name}`" in section for name in [*TEXT_FIELDS, *NUMBER_FIELDS])
