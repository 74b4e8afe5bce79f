import asyncio
import itertools
from collections.abc import Awaitable, Callable

from textual.pilot import Pilot

from tinyprof_dashboard import example_fleet as example
from tinyprof_dashboard.app import Dashboard
from tinyprof_dashboard.events import BoardGone, BoardSeen, Event
from tinyprof_dashboard.example_fleet import NOW_NS, ExampleSource
from tinyprof_dashboard.snapshot import Row
from tinyprof_dashboard.widgets.grid import Grid

Script = Callable[[Dashboard, "Pilot[None]"], Awaitable[None]]


def play(events: list[Event], script: Script, size: tuple[int, int] = (120, 30)) -> ExampleSource:
    """Runs the dashboard on made-up events and a script of keys."""
    source = ExampleSource(events, answer=example.history)

    async def run() -> None:
        app = Dashboard(source, wall_ns=lambda: NOW_NS, steady_s=itertools.count(0.0, 1.0).__next__)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await script(app, pilot)

    asyncio.run(run())
    return source


def lines(grid: Grid[Row]) -> list[str]:
    return [grid.render_line(y).text for y in range(grid.size.height)]


def test_only_the_lines_in_sight_are_drawn_and_the_cursor_stays_in_sight() -> None:
    async def script(app: Dashboard, pilot: "Pilot[None]") -> None:
        grid = app.fleet.grid
        assert len(grid.rows) == 500
        page = grid.size.height - 1
        await pilot.press("end")
        assert grid.cursor == 499
        await pilot.pause()
        assert grid.scroll_offset.y == 500 - page
        assert grid.rows[499].board in lines(grid)[-1]
        await pilot.press("home")
        await pilot.pause()
        assert (grid.cursor, grid.scroll_offset.y) == (0, 0)
        await pilot.press("pagedown")
        assert grid.cursor == page - 1
        await pilot.press("down", "k", "j")
        assert grid.cursor == page
        await pilot.pause()
        assert grid.scroll_offset.y == 1
        await pilot.press("up")
        assert grid.cursor == page - 1

    play(example.many(500), script)


def test_sorting_keeps_the_selected_row_and_brings_it_into_sight() -> None:
    async def script(app: Dashboard, pilot: "Pilot[None]") -> None:
        grid = app.fleet.grid
        await pilot.press("down", "down", "down")
        chosen = grid.rows[3].key
        for _ in range(6):
            await pilot.press("right")
            await pilot.pause()
            assert grid.rows[grid.cursor].key == chosen
            assert any(chosen[1] in line for line in lines(grid))
        await pilot.press("r")
        assert grid.rows[grid.cursor].key == chosen

    play(example.many(300), script)


def test_live_changes_keep_the_selected_row_until_it_is_gone() -> None:
    source = ExampleSource(example.two_sites())

    async def run() -> None:
        app = Dashboard(source, wall_ns=lambda: NOW_NS, steady_s=itertools.count(0.0, 1.0).__next__)
        async with app.run_test(size=(120, 30)) as pilot:
            await pilot.pause()
            grid = app.fleet.grid
            await pilot.press("down", "down")
            chosen = grid.rows[2].key
            source.play(BoardSeen(example.board("aachen.a", "new", health="critical")))
            await pilot.pause()
            await pilot.pause()
            assert grid.rows[0].board == "new"
            assert grid.rows[grid.cursor].key == chosen == grid.rows[3].key
            source.play(BoardGone(chosen))
            await pilot.pause()
            await pilot.pause()
            assert grid.cursor == 3
            assert grid.cursor_key == grid.rows[3].key != chosen

    asyncio.run(run())


def test_the_filter_narrows_as_it_is_written_and_keeps_the_cursor() -> None:
    async def script(app: Dashboard, pilot: "Pilot[None]") -> None:
        grid = app.fleet.grid
        await pilot.press("end", "slash", *"oslo")
        await pilot.pause()
        assert {row.site for row in grid.rows} == {"oslo"}
        await pilot.press("enter")
        assert grid.has_focus
        await pilot.press("slash", "x")
        await pilot.pause()
        assert not grid.rows
        assert any("No board matches." in line for line in lines(grid))
        await pilot.press("escape")
        await pilot.pause()
        assert len(grid.rows) == 14

    play(example.two_sites(), script)


def test_a_filter_that_cannot_be_understood_leaves_the_last_good_one_at_work() -> None:
    async def script(app: Dashboard, pilot: "Pilot[None]") -> None:
        await pilot.press("slash", *"ram", "less_than_sign", *"5x")
        await pilot.pause()
        shown = "".join(strip.text for strip in app.screen.query_one("#told").render_lines(app.screen.region))
        assert "'x' is no unit of ram" in shown
        await pilot.press("backspace", "M")
        await pilot.pause()
        assert app.fleet.view.query == "ram<5M"
        boards = {row.board.split("-")[0] for row in app.fleet.grid.rows}
        assert boards == {"pi5", "stm32h7", "esp32s3", "rp2040", "mps2"}

    play(example.troubled(), script)


def test_titles_and_rows_and_states_can_be_clicked() -> None:
    async def script(app: Dashboard, pilot: "Pilot[None]") -> None:
        grid = app.fleet.grid
        titles = lines(grid)[0]
        await pilot.click(Grid, offset=(titles.index("decode"), 0))
        assert app.fleet.view.order.column == "decode"
        assert app.fleet.view.order.reverse
        await pilot.click(Grid, offset=(5, 4))
        assert grid.cursor == 3 + grid.scroll_offset.y
        await pilot.click("SummaryStrip", offset=(1 + len("● 25 healthy   "), 1))
        await pilot.pause()
        assert {row.health for row in grid.rows} == {"warning"}
        assert app.screen is app.fleet
        await pilot.click(Grid, offset=(5, 1))
        await pilot.pause()
        assert app.screen is not app.fleet

    play(example.troubled(), script)
