"""Pictures of the screens, compared with those that were looked at and committed. Clock and source are made up."""

import itertools
from collections.abc import Callable
from typing import Any

from textual.pilot import Pilot

from tinyprof_dashboard import example_fleet as example
from tinyprof_dashboard import example_jobs, example_pipeline
from tinyprof_dashboard.app import Dashboard
from tinyprof_dashboard.events import BoardSeen, Event, LinkChanged, RetainedComplete
from tinyprof_dashboard.example_fleet import NOW_NS, SECOND_NS, ExampleSource

Compare = Callable[..., bool]


def app_of(events: list[Event]) -> Dashboard:
    source = ExampleSource(events, answer=example.history)
    return Dashboard(source, wall_ns=lambda: NOW_NS, steady_s=itertools.count(0.0, 1.0).__next__, tick_s=3600)


async def settle(pilot: "Pilot[Any]") -> None:
    """Until what was asked has been answered and shown."""
    for _ in range(100):
        history = pilot.app.snapshot.history  # type: ignore[attr-defined]
        if history is not None and not history.waiting:
            break
        await pilot.pause(0.05)
    await pilot.pause()


async def open_board(pilot: "Pilot[Any]") -> None:
    await pilot.press("enter")
    await settle(pilot)


def jobs_of(*more: Event) -> Dashboard:
    source = example_jobs.source(*more)
    return Dashboard(source, wall_ns=lambda: NOW_NS, steady_s=itertools.count(0.0, 1.0).__next__, tick_s=3600)


async def open_jobs(pilot: "Pilot[Any]") -> None:
    """Until the collector has answered and it is shown."""
    await pilot.press("J")
    for _ in range(100):
        parts = pilot.app.snapshot.jobs  # type: ignore[attr-defined]
        if parts and not any(part.waiting for part in parts.values()):
            break
        await pilot.pause(0.05)
    await pilot.pause()


def pipeline_of(played: example_pipeline.Example) -> Dashboard:
    return Dashboard(played.source(), wall_ns=lambda: NOW_NS, steady_s=itertools.count(0.0, 1.0).__next__, tick_s=3600)


async def open_pipeline(pilot: "Pilot[Any]") -> None:
    """Until every collector that answers has done so and it is shown."""
    await pilot.press("p")
    for _ in range(100):
        parts = pilot.app.snapshot.ledgers  # type: ignore[attr-defined]
        if parts and not any(part.waiting for part in parts.values()):
            break
        await pilot.pause(0.05)
    await pilot.pause()


def test_empty(snap_compare: Compare) -> None:
    events = [LinkChanged(True), example.collector(), RetainedComplete()]
    assert snap_compare(app_of(events), terminal_size=(120, 30))


def test_connecting(snap_compare: Compare) -> None:
    assert snap_compare(app_of([]), terminal_size=(120, 30))


def test_two_sites_healthy(snap_compare: Compare) -> None:
    assert snap_compare(app_of(example.two_sites()), terminal_size=(120, 30))


def test_a_stale_board(snap_compare: Compare) -> None:
    late = BoardSeen(example.board("oslo.rack1", "esp32s3-5", kind=4, age_s=190))
    assert snap_compare(app_of([*example.two_sites(), late]), terminal_size=(120, 30))


def test_the_broker_gone(snap_compare: Compare) -> None:
    gone = LinkChanged(False, "no broker at mqtt://example:1883: Connection refused", 4, NOW_NS + 12 * SECOND_NS)
    assert snap_compare(app_of([*example.two_sites(), gone]), terminal_size=(120, 30))


def test_80x24(snap_compare: Compare) -> None:
    assert snap_compare(app_of(example.troubled()), terminal_size=(80, 24))


def test_a_filter(snap_compare: Compare) -> None:
    keys = ["slash", *"decode", "less_than_sign", *"5"]
    assert snap_compare(app_of(example.troubled()), press=keys, terminal_size=(120, 30))


def test_a_board(snap_compare: Compare) -> None:
    assert snap_compare(app_of(example.troubled()), run_before=open_board, terminal_size=(140, 40))


def test_a_board_80x24(snap_compare: Compare) -> None:
    assert snap_compare(app_of(example.troubled()), run_before=open_board, terminal_size=(80, 24))


def test_help(snap_compare: Compare) -> None:
    assert snap_compare(app_of(example.two_sites()), press=["question_mark"], terminal_size=(120, 50))


def test_the_pipeline_settled(snap_compare: Compare) -> None:
    assert snap_compare(pipeline_of(example_pipeline.settled()), run_before=open_pipeline, terminal_size=(120, 30))


def test_the_pipeline_with_a_dead_database(snap_compare: Compare) -> None:
    assert snap_compare(
        pipeline_of(example_pipeline.dead_database()), run_before=open_pipeline, terminal_size=(120, 30)
    )


def test_the_pipeline_with_records_missing(snap_compare: Compare) -> None:
    assert snap_compare(
        pipeline_of(example_pipeline.something_missing()), run_before=open_pipeline, terminal_size=(140, 30)
    )


def test_the_pipeline_with_a_silent_collector(snap_compare: Compare) -> None:
    assert snap_compare(
        pipeline_of(example_pipeline.silent_collector()), run_before=open_pipeline, terminal_size=(120, 30)
    )


def test_the_pipeline_80x24(snap_compare: Compare) -> None:
    assert snap_compare(pipeline_of(example_pipeline.dead_database()), run_before=open_pipeline, terminal_size=(80, 24))


def test_the_pipeline_of_nothing(snap_compare: Compare) -> None:
    assert snap_compare(app_of([LinkChanged(True), RetainedComplete()]), press=["p"], terminal_size=(120, 30))


def test_jobs(snap_compare: Compare) -> None:
    app = jobs_of(example_jobs.running())
    assert snap_compare(app, run_before=open_jobs, terminal_size=(120, 30))


def test_jobs_80x24(snap_compare: Compare) -> None:
    app = jobs_of(example_jobs.running())
    assert snap_compare(app, run_before=open_jobs, terminal_size=(80, 24))


def test_no_jobs(snap_compare: Compare) -> None:
    assert snap_compare(app_of(example.two_sites()), press=["J"], terminal_size=(120, 30))


def test_regressions(snap_compare: Compare) -> None:
    assert snap_compare(jobs_of(), terminal_size=(150, 30))


def test_a_board_that_runs_and_has_regressed(snap_compare: Compare) -> None:
    async def open_it(pilot: "Pilot[Any]") -> None:
        await pilot.press("slash", *"esp32s3-1", "enter", "enter")
        await pilot.pause()
        await pilot.pause()

    assert snap_compare(jobs_of(example_jobs.running()), run_before=open_it, terminal_size=(120, 36))
