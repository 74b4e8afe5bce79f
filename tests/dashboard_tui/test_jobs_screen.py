"""The jobs' screen, progress as it comes, and regressions."""

import asyncio
import itertools

import pytest
from msgspec.structs import replace
from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import Static

from tinyprof_dashboard import example_fleet as example
from tinyprof_dashboard import example_jobs
from tinyprof_dashboard.app import Dashboard
from tinyprof_dashboard.banners import banners
from tinyprof_dashboard.columns import BY_NAME, Moment
from tinyprof_dashboard.events import (
    Asked,
    BoardSeen,
    Came,
    CollectorSeen,
    Event,
    LinkChanged,
    MessagesRefused,
    ProgressSeen,
)
from tinyprof_dashboard.example_fleet import NOW_NS, SECOND_NS, ExampleSource
from tinyprof_dashboard.jobs.columns import stage_text, took_s
from tinyprof_dashboard.jobs.lines import FRESH_S, ORDER, job_lines, open_counts, where_text
from tinyprof_dashboard.jobs.listing import jobs_json, plain_jobs
from tinyprof_dashboard.jobs.tallies import short, tallies
from tinyprof_dashboard.jobs.words import job_words, tally_lines
from tinyprof_dashboard.listing import as_json
from tinyprof_dashboard.pipeline.listing import scene_of
from tinyprof_dashboard.pipeline.stages import stages
from tinyprof_dashboard.progress_feed import progress_of
from tinyprof_dashboard.query import compile_query
from tinyprof_dashboard.regressions import brief, sentence, worst
from tinyprof_dashboard.runs import facts
from tinyprof_dashboard.screens.board import BoardScreen
from tinyprof_dashboard.screens.jobs import JobsScreen
from tinyprof_dashboard.snapshot import MAX_PROGRESS, Snapshot, reduce
from tinyprof_dashboard.widgets.bars import TopBar
from tinyprof_protocol import topics
from tinyprof_protocol.codec import BadMessage, encode
from tinyprof_protocol.connection import Message
from tinyprof_protocol.jobs import JobsReply, Progress, Where

NODE = example_jobs.NODE


def played(*more: Event) -> Snapshot:
    events = example_jobs.source().drain()
    return reduce(
        Snapshot(), [*events, Asked("jobs", ("hub",)), Came("jobs", "hub", example_jobs.some_jobs()), *more], NOW_NS
    )


def told(snapshot: Snapshot) -> list[Text]:
    return tally_lines(open_counts(snapshot, job_lines(snapshot, NOW_NS)), tallies(snapshot), snapshot, 100)


def test_what_runs_comes_first_then_what_waits_in_its_order_then_what_ended_newest_first() -> None:
    lines = job_lines(played(), NOW_NS)
    assert [line.view.state for line in lines[:5]] == ["started", "accepted", "queued", "queued", "queued"]
    assert [line.view.ahead for line in lines[2:5]] == [0, 0, 1]
    ended = [line.view.ended_ns for line in lines[5:]]
    assert ended == sorted(ended, key=lambda time_ns: -(time_ns or 0))
    assert job_lines(played(), NOW_NS, open_only=True) == lines[:5]
    assert set(ORDER) == {line.view.state for line in lines}


def test_progress_belongs_to_its_job_while_it_is_fresh() -> None:
    lines = {line.key: line for line in job_lines(played(example_jobs.running()), NOW_NS)}
    first, joined = lines[example_jobs.job_id(1)], lines[example_jobs.job_id(9)]
    assert stage_text(first) == stage_text(joined) == "timed 2/6"
    assert lines[example_jobs.job_id(0)].progress is None
    late = job_lines(played(example_jobs.running()), NOW_NS + round((FRESH_S + 1) * SECOND_NS))
    assert not any(line.progress for line in late)
    other = ProgressSeen(Progress(NODE, "esp32s3-1", "timed", job_id=b"z" * 16))
    assert not any(line.progress for line in job_lines(played(other), NOW_NS))


def test_what_is_said_of_a_job_that_does_not_run() -> None:
    moment = Moment(played(), NOW_NS)
    lines = {line.key: line for line in job_lines(moment.snapshot, NOW_NS)}
    assert stage_text(lines[example_jobs.job_id(2)]) == "1 job before it"
    assert stage_text(lines[example_jobs.job_id(9)]) == "joined to an equal one"
    assert "not offered" in stage_text(lines[example_jobs.job_id(5)])
    assert took_s(lines[example_jobs.job_id(4)], moment) == 12.0
    assert took_s(lines[example_jobs.job_id(1)], moment) == 9.0
    assert took_s(lines[example_jobs.job_id(2)], moment) is None
    assert where_text(Where(platform="rp2040", label="fast")) == "any of platform rp2040, label fast"
    assert (where_text(Where()), where_text(None)) == ("any of all", "")


def test_only_live_collectors_are_counted_and_nobody_who_asks_is_no_words() -> None:
    snapshot = played()
    assert short(tallies(snapshot)) == "2 jobs at boards, 3 queued · cache 82%"
    gone = CollectorSeen(replace(snapshot.collectors["hub"].status, state="offline"), live=True)
    assert short(tallies(reduce(snapshot, [gone], NOW_NS))) == ""
    failed = reduce(snapshot, [Came("jobs", "hub", None, "busy")], NOW_NS)
    assert "hub: busy" in told(failed)[0].plain
    assert "the first 10 of 24" in told(snapshot)[0].plain


def test_the_counts_are_those_of_the_rows_whatever_the_collector_last_counted() -> None:
    snapshot = played()
    hub = snapshot.collectors["hub"].status
    late = CollectorSeen(replace(hub, counters={**hub.counters, "jobs_running": 7, "jobs_queued": 90}), live=True)
    assert told(reduce(snapshot, [late], NOW_NS))[0].plain.startswith("jobs    1 running   1 accepted   3 queued   ")
    unasked = reduce(Snapshot(), example_jobs.source().drain(), NOW_NS)
    assert told(unasked)[0].plain == "jobs    · running   · queued"
    cut = JobsReply([view for view in example_jobs.some_jobs().jobs if view.state == "queued"], 500)
    assert "3+ queued" in told(reduce(snapshot, [Came("jobs", "hub", cut)], NOW_NS))[0].plain


def test_the_jobs_as_text_and_as_json() -> None:
    moment = Moment(played(), NOW_NS)
    lines = plain_jobs(moment).splitlines()
    assert lines[0].startswith("jobs    1 running   1 accepted   3 queued   hub: the first 10 of 24")
    assert lines[3].split()[:3] == ["state", "board", "suite"]
    assert len(lines) == 4 + 10
    listed = jobs_json(moment)
    assert [one["state"] for one in listed[:3]] == ["started", "accepted", "queued"]
    assert (listed[0]["id"], listed[0]["took_s"]) == (example_jobs.job_id(1).hex(), 9.0)


def test_what_could_not_be_read_is_told_where_one_looks() -> None:
    snapshot = reduce(played(), [MessagesRefused(2, "no map\x1b[2J"), MessagesRefused(1, "no \x1b[2Jmap")], NOW_NS)
    (text,) = (banner.text for banner in banners(snapshot, "b", NOW_NS) if banner.subject == "messages")
    assert text == "3 messages could not be read; the last: no \N{REPLACEMENT CHARACTER}[2Jmap"
    broker = next(stage for stage in stages(scene_of(Moment(snapshot, NOW_NS))) if stage.name == "broker")
    assert (broker.health, broker.word, broker.lines) == ("warning", "connected", ("3 unreadable",))
    assert not any(banner.subject == "messages" for banner in banners(played(), "b", NOW_NS))


def test_tokens_are_shown_and_reach_no_terminal_as_anything_else() -> None:
    hostile = ProgressSeen(replace(example_jobs.running().progress, text="a\x1b[2J b\n c"))
    moment = Moment(played(hostile), NOW_NS)
    line = job_lines(moment.snapshot, NOW_NS)[0]
    words = [text.plain for text in job_words(line, moment, 60)]
    assert any(word.startswith("a\N{REPLACEMENT CHARACTER}[2J b") for word in words)
    assert all(len(word) <= 60 for word in words)
    assert "\x1b" not in "".join(words)


def test_progress_is_bounded() -> None:
    many = [ProgressSeen(Progress(NODE, f"b{number}", "timed")) for number in range(MAX_PROGRESS + 5)]
    snapshot = reduce(Snapshot(), many, NOW_NS)
    assert len(snapshot.progress) == MAX_PROGRESS
    assert (NODE, "b4") not in snapshot.progress


def test_progress_that_lies_about_its_sender_is_refused() -> None:
    said = encode(Progress(NODE, "b", "timed"))
    right = Message(topics.agent_topic(NODE, "progress"), said, False, None, None)
    assert progress_of(right).progress.board == "b"
    for topic in (topics.agent_topic("oslo.rack1", "progress"), topics.agent_topic(NODE, "status")):
        with pytest.raises(BadMessage):
            progress_of(Message(topic, said, False, None, None))


def test_regressions_are_told_where_they_stand() -> None:
    moment = Moment(played(), NOW_NS)
    row = moment.snapshot.rows[NODE, "pi5-1"]
    found = worst(row.summary)
    assert found is not None
    assert brief(found) == "TTFT +39%"
    assert sentence(found, NOW_NS) == "TTFT +39%: 7.100 → 9.900 ms, 90m ago (quick)"
    assert worst(moment.snapshot.rows[NODE, "host-1"].summary) is None, "quicker is no regression"
    told = [banner.text for banner in banners(moment.snapshot, "b", NOW_NS) if banner.subject == "regressions"]
    assert told == ["2 boards: pi5-1 TTFT +39%, esp32s3-1 decode −12%"]
    assert "TTFT +39%" in facts(row, moment).plain
    assert "and 1 more" in facts(row, moment).plain
    assert BY_NAME["regression"].cell(row, moment).text == "▼ TTFT +39%"
    test = compile_query("regression>20")
    assert [key for key, each in moment.snapshot.rows.items() if test(each, moment)] == [(NODE, "pi5-1")]
    board = next(one for one in as_json(moment, "b")["boards"] if one["board"] == "pi5-1")
    assert [one["metric"] for one in board["regressions"]] == ["ttft_ms", "decode_tps"]


# ---- the screens


def opened(source: ExampleSource) -> Dashboard:
    return Dashboard(source, wall_ns=lambda: NOW_NS, steady_s=itertools.count(0.0, 1.0).__next__, tick_s=3600)


async def settle(pilot: "Pilot[None]") -> None:
    """Until what was asked has been answered and shown: each step is a message of its own."""
    for _ in range(6):
        await pilot.pause()


def words_of(app: Dashboard, name: str = "#words") -> str:
    return str(app.screen.query_one(name, Static).render())


def test_the_jobs_are_asked_for_and_progress_is_of_whom_one_looks_at() -> None:
    source = example_jobs.source()
    app = opened(source)

    async def run() -> None:
        async with app.run_test(size=(120, 30)) as pilot:
            await settle(pilot)
            assert (source.parts_asked["jobs"], source.followed) == ([], [])
            await pilot.press("J")
            await settle(pilot)
            screen = app.screen
            assert isinstance(screen, JobsScreen)
            assert source.parts_asked["jobs"] == ["hub"]
            assert len(screen.grid.rows) == 10
            assert source.followed == [NODE]
            source.play(example_jobs.running())
            await settle(pilot)
            assert "a little girl named Lily" in words_of(app)
            await pilot.press("G")
            await settle(pilot)
            assert source.followed[-1] is None, "a job that has ended has no progress"
            await pilot.press("u", "g")
            await settle(pilot)
            assert len(screen.grid.rows) == 5
            await pilot.press("enter")
            await settle(pilot)
            assert isinstance(app.screen, BoardScreen)
            assert source.followed[-1] == NODE
            source.play(LinkChanged(True), BoardSeen(replace(example_jobs.board(NODE, "esp32s3-1"), state="running")))
            await settle(pilot)
            assert "timed 2/6: Once upon a time" in words_of(app, "#facts")
            await pilot.press("escape")
            await settle(pilot)
            assert app.screen is app.fleet
            assert source.followed[-1] is None

    asyncio.run(run())


def test_without_jobs_it_says_how_to_ask_for_one() -> None:
    source = ExampleSource(example.two_sites(), jobs={"hub": JobsReply([], 0)})
    app = opened(source)

    async def run() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            await settle(pilot)
            await pilot.press("J")
            await settle(pilot)
            screen = app.screen
            assert isinstance(screen, JobsScreen)
            assert tuple(screen._notice())[:1] == ("No client has asked for a run.",)

    asyncio.run(run())


@pytest.mark.parametrize("key", [None, "J", "p"])
def test_every_screen_tells_a_broker_that_is_waited_for_from_one_that_is_gone(key) -> None:
    source = ExampleSource([])
    app = opened(source)

    async def run() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            await settle(pilot)
            if key is not None:
                await pilot.press(key)
                await settle(pilot)

            def sign() -> str:
                return app.screen.query_one(TopBar).render().plain.split()[-2]

            signs = [sign()]
            for link in (LinkChanged(True), LinkChanged(False, "refused", 1)):
                source.play(link)
                await settle(pilot)
                signs.append(sign())
            assert signs == ["…", "●", "✖"]

    asyncio.run(run())
