import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self, get_args

import pytest

from tinyprof.commands.dashboard import command
from tinyprof.embedded_broker import EmbeddedBroker, free_port
from tinyprof_dashboard import entry, example_jobs
from tinyprof_dashboard import example_fleet as example
from tinyprof_dashboard.asking import ScreenName
from tinyprof_dashboard.columns import Moment
from tinyprof_dashboard.events import (
    AgentGone,
    AgentSeen,
    BoardGone,
    BoardSeen,
    Came,
    CollectorSeen,
    Event,
    HistoryCame,
    LinkChanged,
    ProgressSeen,
    RetainedComplete,
)
from tinyprof_dashboard.example_fleet import NOW_NS, ExampleSource
from tinyprof_dashboard.feed import MqttSource, event_of
from tinyprof_dashboard.keys import KEYS
from tinyprof_dashboard.listing import as_json, plain_table
from tinyprof_dashboard.snapshot import Snapshot, reduce
from tinyprof_protocol import topics
from tinyprof_protocol.broker_address import BrokerAddress, parse_broker
from tinyprof_protocol.codec import BadMessage, decode, encode
from tinyprof_protocol.connection import Connection, Hooks, Message, Publication
from tinyprof_protocol.jobs import JobsReply, JobsRequest, Progress
from tinyprof_protocol.requests import Failure, HistoryReply, HistoryRequest, LedgerReply, LedgerRequest, LedgerRow
from tinyprof_protocol.topics import BadTopic

NODE = "berlin.bench"
PATIENCE_S = 20.0


def message(topic: str, payload: bytes, *, retain: bool = True) -> Message:
    return Message(topic, payload, retain, None, None)


def test_messages_become_events() -> None:
    summary = example.board(NODE, "x")
    status = example.agent(NODE).status
    hub = example.collector().status
    assert event_of(message(topics.fleet(NODE, "x"), encode(summary))) == BoardSeen(summary)
    assert event_of(message(topics.fleet(NODE, "x"), b"")) == BoardGone((NODE, "x"))
    assert event_of(message(topics.agent_topic(NODE, "status"), encode(status))) == AgentSeen(status, live=False)
    assert event_of(message(topics.agent_topic(NODE, "status"), b"")) == AgentGone(NODE)
    live = message(topics.collector_status("hub"), encode(hub), retain=False)
    assert event_of(live) == CollectorSeen(hub, live=True)


@pytest.mark.parametrize(
    "bad",
    [
        message(topics.fleet(NODE, "y"), encode(example.board(NODE, "x"))),
        message(topics.fleet("oslo.rack", "x"), encode(example.board(NODE, "x"))),
        message(topics.agent_topic("oslo.rack", "status"), encode(example.agent(NODE).status)),
        message(topics.collector_status("other"), encode(example.collector("hub").status)),
        message(topics.fleet(NODE, "x"), b"\x00\xff\xff"),
    ],
)
def test_messages_that_lie_or_cannot_be_read_are_refused(bad: Message) -> None:
    with pytest.raises(BadMessage):
        event_of(bad)


def test_topics_that_are_not_for_a_dashboard_are_refused() -> None:
    with pytest.raises(BadTopic):
        event_of(message(topics.agent_topic(NODE, "records"), b""))


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        yield running


class Publisher:
    """Stands beside the dashboard on the real broker: publishes, and answers what a collector is asked."""

    def __init__(self, url: str) -> None:
        self.acknowledged: set[int] = set()
        self.busy = False
        self._hooks = Hooks(
            on_message=self._answer, on_published=lambda published: self.acknowledged.add(published.token)
        )
        self.connection = Connection(parse_broker(url), "hub", self._hooks, subscriptions=[(topics.requests("hub"), 1)])

    def __enter__(self) -> Self:
        self.connection.start()
        until(lambda: self.connection.state.connected)
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.stop()

    def publish(self, topic: str, payload: bytes) -> None:
        token = self.connection.publish(Publication(topic, payload, retain=True))
        assert token is not None
        until(lambda: token in self.acknowledged)

    def _answer(self, asked: Message) -> None:
        answers = {"ledger": self._ledger, "jobs": self._jobs, "history": self._history}
        reply = answers[asked.topic.rpartition("/")[2]](asked)
        assert asked.response_topic is not None
        self.connection.publish(
            Publication(asked.response_topic, encode(reply), correlation=asked.correlation, expiry_s=10)
        )

    @staticmethod
    def _history(asked: Message) -> HistoryReply | Failure:
        request = decode(asked.payload, HistoryRequest)
        return example.history(request) if request.board == "x" else Failure("unknown", f"no board {request.board}")

    def _jobs(self, asked: Message) -> JobsReply | Failure:
        assert decode(asked.payload, JobsRequest).action == "list"
        return Failure("busy", "later") if self.busy else example_jobs.some_jobs()

    def _ledger(self, asked: Message) -> LedgerReply | Failure:
        assert decode(asked.payload, LedgerRequest).settled_as_one
        if self.busy:
            return Failure("busy", "the store is slow")
        return LedgerReply([LedgerRow(NODE, bytes(16), 12, stored=7, missing=5, cause="gone", forgotten=True)], False)


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def fill(publisher: Publisher) -> None:
    """A small fleet of now in the broker's memory."""
    now = time.time_ns()
    publisher.publish(topics.collector_status("hub"), encode(example.collector(now_ns=now).status))
    publisher.publish(topics.agent_topic(NODE, "status"), encode(example.agent(NODE, now_ns=now).status))
    for name in ("x", "y"):
        summary = example.board(NODE, name, interval_s=600, now_ns=now)
        publisher.publish(topics.fleet(NODE, name), encode(summary))


def source_for(url: str) -> MqttSource:
    return MqttSource(parse_broker(url), wall_ns=time.time_ns, steady_s=time.monotonic)


def test_the_brokers_memory_then_changes_then_history(broker: EmbeddedBroker) -> None:
    events: list[Event] = []
    source = source_for(broker.url)

    def came(kind: type, count: int = 1) -> bool:
        events.extend(source.drain())
        return sum(isinstance(event, kind) for event in events) >= count

    with Publisher(broker.url) as publisher:
        fill(publisher)
        publisher.publish(topics.fleet(NODE, "z"), b"\x07 no message")
        source.start(lambda: None)
        try:
            until(lambda: came(RetainedComplete))
            snapshot = reduce(Snapshot(), events, time.time_ns())
            assert snapshot.link == LinkChanged(True)
            assert set(snapshot.rows) == {(NODE, "x"), (NODE, "y")}
            assert {row.health for row in snapshot.rows.values()} == {"healthy"}
            assert snapshot.refused == 1
            assert source.ask_history("hub", HistoryRequest(NODE, "x", "ttft_ms"))
            assert source.ask_history("hub", HistoryRequest(NODE, "nobody", "ttft_ms"))
            until(lambda: came(HistoryCame, 2))
            answers = {e.key[1]: e for e in events if isinstance(e, HistoryCame)}
            assert answers["x"].reply is not None
            assert len(answers["x"].reply.runs) == 12
            assert answers["nobody"].error == "no board nobody"
            publisher.publish(topics.fleet(NODE, "y"), b"")
            until(lambda: came(BoardGone))
        finally:
            source.stop()
            publisher.publish(topics.fleet(NODE, "z"), b"")


def test_events_that_wait_are_the_newest_of_each_topic_and_wake_once(broker: EmbeddedBroker) -> None:
    wakes: list[int] = []
    source = source_for(broker.url)
    with Publisher(broker.url) as publisher:
        fill(publisher)
        source.start(lambda: wakes.append(1))
        try:
            drained: list[Event] = []
            until(lambda: bool(drained.extend(source.drain()) or any(isinstance(e, RetainedComplete) for e in drained)))
            wakes.clear()
            received = source._connection.state.counts["received"]
            for seed in range(50):
                publisher.publish(topics.fleet(NODE, "x"), encode(example.board(NODE, "x", seed=seed)))
            until(lambda: source._connection.state.counts["received"] >= received + 50)
            until(lambda: bool(wakes))
            waiting = source.drain()
            assert len(waiting) <= 1
            assert len(wakes) <= 2
        finally:
            source.stop()


def test_a_broker_that_dies_is_told_with_the_next_attempt() -> None:
    links: list[LinkChanged] = []
    doomed = EmbeddedBroker().start()
    source = source_for(doomed.url)

    def link(connected: bool) -> bool:
        links.extend(event for event in source.drain() if isinstance(event, LinkChanged))
        return bool(links) and links[-1].connected == connected

    try:
        source.start(lambda: None)
        until(lambda: link(True))
        doomed.kill()
        until(lambda: link(False) and links[-1].next_attempt_ns > 0)
        assert doomed.url.removeprefix("mqtt://") in links[-1].error
        doomed.start()
        until(lambda: link(True))
    finally:
        source.stop()
        doomed.stop()


def test_once_json_and_a_picture(broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    address = parse_broker(broker.url)
    with Publisher(broker.url) as publisher:
        fill(publisher)
        assert entry.run(address, once=True, as_json=False, screenshot=None, timeout_s=PATIENCE_S) == 0
        table = capsys.readouterr().out
        assert "● 2 healthy" in table
        assert any(line.startswith("● healthy") and " x " in line for line in table.splitlines())
        assert entry.run(address, once=False, as_json=True, screenshot=None, timeout_s=PATIENCE_S) == 0
        told = json.loads(capsys.readouterr().out)
        assert [board["board"] for board in told["boards"]] == ["x", "y"]
        assert told["complete"]
        picture = tmp_path / "fleet.svg"
        assert entry.run(address, once=False, as_json=False, screenshot=picture, timeout_s=PATIENCE_S) == 0
        assert picture.read_text().startswith("<svg")
        assert "healthy" in picture.read_text()
        said = capsys.readouterr()
        assert (said.out, said.err) == ("", f"the screen 'fleet', of 2 boards, is in {picture}\n")
        assert entry.run(address, once=False, as_json=True, screenshot=picture, timeout_s=PATIENCE_S) == 0
        said = capsys.readouterr()
        assert json.loads(said.out) == {"output": str(picture), "screen": "fleet", "boards": 2}
        assert said.err == ""
        nowhere = tmp_path / "no" / "folder.svg"
        assert entry.run(address, once=False, as_json=False, screenshot=nowhere, timeout_s=PATIENCE_S) == 1
        assert "cannot be written" in capsys.readouterr().err


def test_who_stops_reading_the_table_is_told_nothing(broker: EmbeddedBroker) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-u", "-m", "tinyprof", "dashboard", "--once", "--broker", broker.url]
    with Publisher(broker.url) as publisher:
        fill(publisher)
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_collectors_ledger_comes_or_the_reason_why_not(broker: EmbeddedBroker) -> None:
    events: list[Event] = []
    source = source_for(broker.url)

    def answers(count: int) -> list[Came]:
        events.extend(source.drain())
        came = [event for event in events if isinstance(event, Came)]
        return came if len(came) >= count else []

    with Publisher(broker.url) as publisher:
        source.start(lambda: None)
        try:
            until(lambda: source.ask_part("ledgers", "hub", LedgerRequest(settled_as_one=True)))
            until(lambda: bool(answers(1)))
            publisher.busy = True
            assert source.ask_part("ledgers", "hub", LedgerRequest(settled_as_one=True))
            until(lambda: bool(answers(2)))
        finally:
            source.stop()
    first, second = answers(2)
    assert first.reply is not None
    assert (first.collector, first.reply.rows[0].missing) == ("hub", 5)
    assert (second.reply, second.error) == (None, "the store is slow")


def test_a_collectors_jobs_come_and_progress_of_the_agent_that_is_followed(broker: EmbeddedBroker) -> None:
    events: list[Event] = []
    source = source_for(broker.url)

    def seen(kind: type) -> list[Event]:
        events.extend(source.drain())
        return [event for event in events if isinstance(event, kind)]

    def nodes(found: list[Event]) -> set[str]:
        return {event.progress.node for event in found if isinstance(event, ProgressSeen)}

    def says(node: str) -> None:
        told = encode(Progress(node, "x", "timed", text="Once"))
        publisher.connection.publish(Publication(topics.agent_topic(node, "progress"), told, qos=0))

    with Publisher(broker.url) as publisher:
        source.start(lambda: None)
        try:
            until(lambda: source.ask_part("jobs", "hub", JobsRequest("list")))
            until(lambda: bool(seen(Came)))
            says(NODE)
            source.follow(NODE)

            def told() -> bool:
                says("oslo.rack1")
                says(NODE)
                return bool(seen(ProgressSeen))

            until(told)
            source.follow("oslo.rack1")
            until(lambda: told() and nodes(seen(ProgressSeen)) >= {"oslo.rack1"})
            events.clear()
            until(told)
        finally:
            source.stop()
    assert nodes(seen(ProgressSeen)) == {"oslo.rack1"}


def test_the_pipeline_once_as_json_and_as_a_picture(
    broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    address = parse_broker(broker.url)
    picture = tmp_path / "pipeline.svg"

    def run(**how: object) -> str:
        told = {
            "once": False,
            "as_json": False,
            "screenshot": None,
            "timeout_s": PATIENCE_S,
            "screen": "pipeline",
            **how,
        }
        assert entry.run(address, **told) == 0  # type: ignore[arg-type]
        return capsys.readouterr().out

    with Publisher(broker.url) as publisher:
        fill(publisher)
        text = run(once=True)
        assert "missing: 5 records of berlin.bench: gone" in text
        assert any(line.split()[:3] == ["✖", "missing", NODE] for line in text.splitlines())
        told = json.loads(run(as_json=True))["pipeline"]
        assert (told["ok"], told["sums"]["missing"], told["ledger"][0]["cause"]) == (False, 5, "gone")
        run(screenshot=picture)
        assert "missing" in picture.read_text()
        publisher.busy = True
        assert json.loads(run(as_json=True))["pipeline"]["unanswered"] == ["hub: the store is slow"]


def test_the_jobs_once_as_json_and_as_a_picture(
    broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    address = parse_broker(broker.url)
    picture = tmp_path / "jobs.svg"

    def run(*, once: bool = False, as_json: bool = False, screenshot: Path | None = None) -> str:
        code = entry.run(
            address, once=once, as_json=as_json, screenshot=screenshot, timeout_s=PATIENCE_S, screen="jobs"
        )
        assert code == 0
        return capsys.readouterr().out

    with Publisher(broker.url) as publisher:
        fill(publisher)
        assert any(line.startswith("… queued") for line in run(once=True).splitlines())
        listed = json.loads(run(as_json=True))["jobs_listed"]
        assert (len(listed), listed[0]["state"], listed[0]["collector"]) == (10, "started", "hub")
        run(screenshot=picture)
        assert "queued" in picture.read_text()


def test_the_command_line_offers_every_screen_that_opens_by_name() -> None:
    (option,) = (parameter for parameter in command.params if parameter.name == "screen")
    assert set(option.type.choices) == set(get_args(ScreenName))  # type: ignore[attr-defined]
    assert {key.action for key in KEYS if key.scope == "fleet"} >= set(get_args(ScreenName)) - {"fleet"}


@pytest.mark.parametrize("picture", [False, True])
def test_without_a_broker_one_line_says_what_to_do(
    picture: bool, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    address = BrokerAddress("127.0.0.1", free_port())
    screenshot = tmp_path / "x.svg" if picture else None
    assert entry.run(address, once=not picture, as_json=False, screenshot=screenshot, timeout_s=PATIENCE_S) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert "TINYPROF_BROKER" in said.err
    assert not (tmp_path / "x.svg").exists()


def test_without_a_terminal_the_screen_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    address = BrokerAddress("127.0.0.1", free_port())
    assert entry.run(address, once=False, as_json=False, screenshot=None, timeout_s=1.0) == 2
    assert "--once" in capsys.readouterr().err


def test_a_memory_that_never_ends_is_cut_off_in_time() -> None:
    seconds = iter(range(100))
    source = ExampleSource([LinkChanged(True), BoardSeen(example.board(NODE, "x"))])
    moment = entry.read_once(source, 3.0, wall_ns=lambda: NOW_NS, steady_s=lambda: float(next(seconds)))
    assert set(moment.snapshot.rows) == {(NODE, "x")}
    assert not moment.snapshot.complete
    assert source.stopped


def test_the_listing_is_whole_and_urgent_boards_come_first() -> None:
    moment = Moment(reduce(Snapshot(), example.troubled(), NOW_NS), NOW_NS)
    lines = plain_table(moment, "mqtt://b:1").splitlines()
    assert lines[0] == "▲ agents: 1 of 6 offline: pune.field"
    assert lines[1] == "● 25 healthy  ▲ 1 warning  ✖ 1 critical  ◌ 1 stale  ○ 5 offline"
    assert len(lines) == 4 + 33
    assert lines[4].startswith("✖ critical")
    told = as_json(moment, "mqtt://b:1")
    assert told == json.loads(json.dumps(told))
    assert told["counts"] == {"healthy": 25, "warning": 1, "critical": 1, "stale": 1, "offline": 5}
    assert told["boards"][0]["reasons"] == ["golden differs at token 14", "3 runs invalid in a row"]
    emulated = next(board for board in told["boards"] if board["emulated"])
    assert emulated["figures"]["ttft_ms"]["estimated"]


def test_every_key_of_the_json_is_in_the_document() -> None:
    document = (Path(__file__).parents[2] / "docs" / "dashboard.md").read_text()
    told = as_json(Moment(reduce(Snapshot(), example.troubled(), NOW_NS), NOW_NS), "b")
    figure = next(iter(told["boards"][0]["figures"].values()))
    for keys in (told, told["boards"][0], told["agents"][0], told["collectors"][0], figure, told["problems"][0]):
        assert all(f"`{key}`" in document for key in keys)
