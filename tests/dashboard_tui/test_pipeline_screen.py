"""The pipeline's screen: what it asks for, and its keys."""

import asyncio
import itertools

from textual.pilot import Pilot
from textual.widgets import Static

from tinyprof_dashboard import example_pipeline as example
from tinyprof_dashboard.app import Dashboard
from tinyprof_dashboard.asked import ASK_EVERY_S
from tinyprof_dashboard.asking import ScreenName
from tinyprof_dashboard.events import Came, LinkChanged
from tinyprof_dashboard.example_fleet import NOW_NS, SECOND_NS, ExampleSource
from tinyprof_dashboard.screens.pipeline import PipelineScreen


class Wall:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now_ns(self) -> int:
        return NOW_NS + round(self.seconds * SECOND_NS)


def opened(found: example.Example, *, screen: ScreenName = "fleet") -> tuple[Dashboard, ExampleSource, Wall]:
    wall, source = Wall(), found.source()
    steady = itertools.count(0.0, 1.0).__next__
    return Dashboard(source, wall_ns=wall.now_ns, steady_s=steady, tick_s=3600, screen=screen), source, wall


async def settle(pilot: "Pilot[None]") -> None:
    """Until what was asked has been answered and shown: each step is a message of its own."""
    for _ in range(6):
        await pilot.pause()


def footer_of(app: Dashboard) -> set[str]:
    return {binding.binding.description for binding in app.screen.active_bindings.values() if binding.binding.show
            and binding.enabled}  # fmt: skip


def words_of(app: Dashboard) -> str:
    return str(app.screen.query_one("#words", Static).render())


def test_the_ledger_is_asked_for_while_the_screen_is_open_once_an_interval() -> None:
    app, source, wall = opened(example.settled())

    async def run() -> None:
        async with app.run_test(size=(120, 30)) as pilot:

            async def after(seconds: float) -> int:
                wall.seconds += seconds
                source.play(LinkChanged(True))
                await settle(pilot)
                return len(source.parts_asked["ledgers"])

            await settle(pilot)
            assert await after(10) == 0, "nobody looks at the pipeline"
            await pilot.press("p")
            await settle(pilot)
            assert source.parts_asked["ledgers"] == ["hub"]
            screen = app.screen
            assert isinstance(screen, PipelineScreen)
            assert len(screen.ledger.rows) == 6
            assert await after(1) == 1
            assert await after(ASK_EVERY_S) == 2
            await pilot.press("escape")
            await settle(pilot)
            assert await after(ASK_EVERY_S) == 2

    asyncio.run(run())


def test_a_collector_that_is_silent_is_not_asked() -> None:
    app, source, _ = opened(example.silent_collector(), screen="pipeline")

    async def run() -> None:
        async with app.run_test(size=(120, 30)) as pilot:
            await settle(pilot)
            assert source.parts_asked["ledgers"] == ["spare"]
            assert isinstance(app.screen, PipelineScreen)

    asyncio.run(run())


def test_enter_goes_to_the_boards_of_the_agent_under_the_cursor() -> None:
    app, _, _ = opened(example.something_missing())

    async def run() -> None:
        async with app.run_test(size=(140, 30)) as pilot:
            await settle(pilot)
            await pilot.press("p")
            await settle(pilot)
            await pilot.press("j", "enter")
            await settle(pilot)
            assert app.screen is app.fleet
            assert {row.key[0] for row in app.fleet.grid.rows} == {"oslo.rack1"}
            await pilot.press("escape")
            assert len(app.fleet.grid.rows) == 9

    asyncio.run(run())


def test_keys_choose_sort_and_switch_tables() -> None:
    app, _, _ = opened(example.something_missing(), screen="pipeline")

    async def run() -> None:
        async with app.run_test(size=(140, 30)) as pilot:
            await settle(pilot)
            screen = app.screen
            assert isinstance(screen, PipelineScreen)
            assert {"back", "boards", "unsettled", "other table", "sort", "reverse", "quit", "help"} <= footer_of(app)
            assert "12 missing" in words_of(app)
            assert "started anew without its spool" in words_of(app)
            await pilot.press("u")
            await settle(pilot)
            assert [line.state for line in screen.ledger.rows] == ["missing", "offline"]
            await pilot.press("j")
            await settle(pilot)
            assert "stays there until it is back" in words_of(app)
            await pilot.press("u", "right", "r")
            await settle(pilot)
            assert screen.ledger.rows[0].node == "oslo.rack1"
            await pilot.press("tab")
            await settle(pilot)
            assert "partitions 00–15" in words_of(app)
            assert "12 records missing for 75 s" in words_of(app)
            await pilot.press("tab")
            await settle(pilot)
            assert screen.focused is screen.ledger

    asyncio.run(run())


def test_why_a_ledger_does_not_come_is_said_and_the_last_one_stays() -> None:
    app, source, wall = opened(example.settled(), screen="pipeline")

    async def run() -> None:
        async with app.run_test(size=(140, 30)) as pilot:
            await settle(pilot)
            wall.seconds += 30
            source._parts["ledgers"] = {}
            source.play(Came("ledgers", "hub", None, "the store is slow"))
            await settle(pilot)
            sums = str(app.screen.query_one("#sums", Static).render())
            assert "hub: the store is slow" in sums
            assert "as of 30s ago" in sums
            assert len(app.screen.query_one("#ledger").rows) == 6  # type: ignore[attr-defined]

    asyncio.run(run())
