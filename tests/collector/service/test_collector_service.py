import contextlib
import json
import queue
import sqlite3
import time
import urllib.error
import urllib.request
from pathlib import Path

import fake_agent
import pytest
from started_collector import started

from tinyprof.embedded_broker import EmbeddedBroker
from tinyprof_collector.config import Config, EndpointsConfig
from tinyprof_collector.service import CannotStart, Collector
from tinyprof_protocol import topics
from tinyprof_protocol.codec import decode
from tinyprof_protocol.connection import Publication
from tinyprof_protocol.jobs import Job, ProfileReply, ProfileRequest
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.presence import AgentStatus, BoardSummary, CollectorStatus
from tinyprof_protocol.requests import (
    BoardsReply,
    BoardsRequest,
    Failure,
    ForgetReply,
    ForgetRequest,
    HistoryReply,
    HistoryRequest,
    LedgerReply,
    LedgerRequest,
    QuarantineReply,
    QuarantineRequest,
    ResultsReply,
    ResultsRequest,
    StatusReply,
    StatusRequest,
)

CLIENT = "ab" * 16


@pytest.fixture
def config(broker, tmp_path) -> Config:
    return Config(broker=broker.url, state_dir=str(tmp_path / "state"), status_interval_s=0.5)


@pytest.fixture
def collector(config):
    running = started(config)
    yield running
    assert running.stop()


@pytest.fixture
def agent(broker, collector):
    found = fake_agent.FakeAgent(broker.url, time.time_ns())
    yield found
    found.stop()


@pytest.fixture
def client(broker, collector):
    found = fake_agent.Client(broker.url, "client-1", [topics.replies(CLIENT)])
    yield found
    found.stop()


@pytest.fixture
def watcher(broker, collector):
    """Reads what is retained for dashboards."""
    found = fake_agent.Client(broker.url, "watcher", [topics.fleet()])
    yield found
    found.stop()


def ask(client, kind: str, request, reply):
    client.send(
        topics.requests("main", kind), request, response_topic=topics.replies(CLIENT), correlation=kind.encode()
    )
    message = client.messages.get(timeout=fake_agent.WAIT_S)
    assert message.correlation == kind.encode()
    return decode(message.payload, reply)


def get(collector, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(collector.endpoints.url + path, timeout=10) as answered:
            return answered.status, answered.read().decode()
    except urllib.error.HTTPError as why:
        with why:
            return why.code, why.read().decode()


def test_from_records_to_store_summary_replies_and_readiness(collector, config, agent, client, watcher):
    agent.say_status()
    agent.send_batch(fake_agent.result(100.0), fake_agent.sample(42.5))
    agent.send_batch(fake_agent.result(110.0, "unstable"))
    assert agent.next_sack(3).ranges == []

    shown = watcher.next(BoardSummary, lambda found: found.results == 2)
    assert (shown.node, shown.board, shown.health, shown.verdict) == ("lab.pi", "b1", "healthy", "unstable")
    assert shown.spark == [100.0, 110.0]
    assert shown.readings == {"temperature_c": 42.5}

    with sqlite3.connect(Path(config.state_dir) / "store.sqlite") as store:
        assert store.execute("SELECT COUNT(*) FROM records").fetchone() == (3,)
    store.close()

    history = ask(client, "history", HistoryRequest("lab.pi", "b1", "decode_tps"), HistoryReply)
    assert [point.value for point in history.points] == [100.0, 110.0]
    assert [run.body.verdict for run in history.runs] == ["unstable", "valid"]

    ledger = ask(client, "ledger", LedgerRequest(verify=True), LedgerReply)
    assert ledger.ok, ledger.problems
    assert [(row.head, row.stored, row.verified) for row in ledger.rows] == [(3, 3, 3)]
    (delivery,) = ledger.agents
    assert (delivery.node, delivery.online, delivery.waiting_s, delivery.deferred) == ("lab.pi", True, None, 0)
    assert 0 < (delivery.sack_lag_ms or 0) < fake_agent.WAIT_S * 1000
    assert ask(client, "ledger", LedgerRequest("lab.other"), LedgerReply).agents == []

    status = ask(client, "status", StatusRequest(), StatusReply)
    assert [(view.status.node, view.health) for view in status.agents] == [("lab.pi", "healthy")]
    assert status.boards_by_health == {"healthy": 1}
    assert status.agents[0].sack_lag_ms is not None
    assert 0 < status.agents[0].sack_lag_ms < fake_agent.WAIT_S * 1000
    assert status.ledger["stored"] == 3
    assert status.collector.health == "healthy"

    boards = ask(client, "boards", BoardsRequest(), BoardsReply)
    assert (boards.total, boards.boards[0].results) == (1, 2)

    code, body = get(collector, "/readyz")
    assert code == 200, body
    assert json.loads(body)["checks"]["broker"] == "ok"
    assert "tinyprof_collector_records_total 3.0" in get(collector, "/metrics")[1]


def test_while_its_store_takes_nothing_it_says_for_how_long_and_what_waits(broker, collector, config, agent, client):
    watcher = fake_agent.Client(broker.url, "watcher", [topics.collector_status()])
    agent.say_status()
    agent.send_batch(fake_agent.sample(40.0))
    agent.next_sack(1)
    with contextlib.closing(sqlite3.connect(Path(config.state_dir) / "store.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        agent.send_batch(fake_agent.sample(41.0))
        held = watcher.next(CollectorStatus, lambda said: said.holding_s is not None)
        assert (held.health, held.stores, held.waiting) == ("critical", {"sqlite": "critical"}, 1)
        assert "locked" in held.store_errors["sqlite"]
        (delivery,) = ask(client, "ledger", LedgerRequest(), LedgerReply).agents
        assert (delivery.waiting_s or 0) > 0
        other.rollback()
    agent.next_sack(2)
    free = watcher.next(CollectorStatus, lambda said: said.holding_s is None and said.health == "healthy")
    assert (free.store_errors, free.waiting) == ({}, 0)
    assert ask(client, "ledger", LedgerRequest(), LedgerReply).agents[0].waiting_s is None
    watcher.stop()


def test_what_cannot_be_answered_says_why(agent, client, watcher):
    agent.say_status()
    watcher.next(BoardSummary)
    for request, kind, code, says in (
        (HistoryRequest("lab.pi", "b2", "decode_tps"), "history", "unknown_board", "lab.pi/b1"),
        (HistoryRequest("lab.pi", "b1", "decode_tp"), "history", "unknown_metric", "decode_tps"),
        (StatusRequest(), "weather", "unknown_request", "history"),
        (StatusRequest(), "history", "bad_request", "node"),
        (ProfileRequest(Job(b"j" * 16, "lab.pj", "b1", 2**62)), "profile", "unknown_board", "lab.pi/b1"),
    ):  # fmt: skip
        failure = ask(client, kind, request, Failure)
        assert (failure.code, says in failure.message) == (code, True), failure


def test_a_status_under_another_name_is_quarantined(agent, client, watcher):
    agent.say_status()
    agent.send(topics.agent_topic("lab.pi", "status"), AgentStatus("lab.other", "online"), retain=True)
    agent.connection.publish(Publication(topics.agent_topic("lab.pi", "status"), b"\x00nonsense"))
    agent.send(topics.agent_topic("lab.pi", "status"), AgentStatus("lab.pi", "online", version="after"))
    watcher.next(BoardSummary)
    deadline = time.monotonic() + fake_agent.WAIT_S
    while (found := ask(client, "quarantine", QuarantineRequest("list"), QuarantineReply)).total < 2:
        assert time.monotonic() < deadline, found
    assert found.items[0].reason == "status of lab.other under the topic of lab.pi"
    assert found.items[0].node == "lab.pi"
    status = ask(client, "status", StatusRequest(), StatusReply)
    assert [view.status.node for view in status.agents] == ["lab.pi"]


def test_a_job_goes_to_its_agent_and_its_result_answers(agent, client, watcher):
    agent.say_status()
    watcher.next(BoardSummary)
    job = Job(b"j" * 16, "lab.pi", "b1", time.time_ns() + 100 * 10**9)
    client.send(
        topics.requests("main", "profile"),
        ProfileRequest(job),
        response_topic=topics.replies(CLIENT),
        correlation=b"p",
    )
    assert client.next(ProfileReply) == ProfileReply(job.id, "queued", node="lab.pi", board="b1")
    assert agent.next_job() == job
    agent.send_batch(fake_agent.event("job_accepted", job.id))
    assert client.next(ProfileReply) == ProfileReply(job.id, "accepted", node="lab.pi", board="b1")
    agent.send_batch(fake_agent.event("job_finished", job.id), fake_agent.result(55.0, job_id=job.id))
    final = client.next(ProfileReply)
    assert (final.state, final.final) == ("finished", True)
    assert final.result is not None
    assert final.result.body.figures["decode_tps"].value == 55.0


def test_a_restart_restores_the_boards_and_knows_a_jobs_result(broker, config):
    job = Job(b"j" * 16, "lab.pi", "b1", time.time_ns() + 100 * 10**9)
    first = started(config)
    agent = fake_agent.FakeAgent(broker.url, time.time_ns())
    client = fake_agent.Client(broker.url, "client-1", [topics.replies(CLIENT), topics.collector_status("main")])
    try:
        agent.say_status()
        agent.send_batch(fake_agent.result(70.0, job_id=job.id), fake_agent.sample(40.0))
        agent.next_sack(2)
        assert first.stop()
        client.next(CollectorStatus, lambda found: found.state == "offline")
        client.stop()
        watcher = fake_agent.Client(broker.url, "watcher", [topics.fleet()])
        assert watcher.next(BoardSummary).results == 1
        second = Collector(config)
        second.start()
        client = fake_agent.Client(broker.url, "client-1", [topics.replies(CLIENT)])
        try:
            # Before the agent's retained status came, nothing was known of it.
            shown = watcher.next(BoardSummary)
            assert (shown.results, shown.valid, shown.spark) == (1, 1, [70.0])
            assert shown.readings == {"temperature_c": 40.0}
            reply = ask(client, "profile", ProfileRequest(job, repeated=True), ProfileReply)
            assert (reply.state, reply.final) == ("finished", True)
        finally:
            watcher.stop()
            assert second.stop()
    finally:
        agent.stop()
        client.stop()


def test_a_board_is_forgotten_over_a_restart_until_it_is_heard_again_and_its_results_stay(broker, config):
    first = started(config)
    agent = fake_agent.FakeAgent(broker.url, time.time_ns())
    client = fake_agent.Client(broker.url, "client-1", [topics.replies(CLIENT)])
    watcher = fake_agent.Client(broker.url, "watcher", [topics.fleet()])
    try:
        agent.send_batch(fake_agent.result(70.0))
        agent.next_sack(1)
        watcher.next(BoardSummary)
        assert ask(client, "forget", ForgetRequest("lab.pi", "b1"), ForgetReply).forgotten
        while watcher.messages.get(timeout=fake_agent.WAIT_S).payload:
            pass
        assert ask(client, "boards", BoardsRequest(), BoardsReply).boards == []
        assert ask(client, "forget", ForgetRequest("lab.pi", "b1"), Failure).code == "unknown_board"
        assert first.stop()
        second = started(config)
        try:
            assert ask(client, "boards", BoardsRequest(), BoardsReply).boards == []
            results = ask(client, "results", ResultsRequest("lab.pi", "b1"), ResultsReply)
            assert [record.body.figures["decode_tps"].value for record in results.records] == [70.0]
            while watcher.messages.qsize():
                assert not watcher.messages.get().payload, "no summary of it came back"
            agent.say_status()
            assert watcher.next(BoardSummary).results == 0
        finally:
            assert second.stop()
    finally:
        agent.stop()
        client.stop()
        watcher.stop()


def test_a_run_of_invalid_results_goes_on_over_a_restart(broker, config):
    first = started(config)
    agent = fake_agent.FakeAgent(broker.url, time.time_ns())
    watcher = fake_agent.Client(broker.url, "watcher", [topics.fleet()])
    try:
        agent.say_status()
        agent.send_batch(*(fake_agent.result(verdict="invalid") for _ in range(3)))
        watcher.next(BoardSummary, lambda found: found.health == "critical")
        assert first.stop()
        stopped_ns = time.time_ns()
        second = started(config)
        agent.say_status()
        try:
            shown = watcher.next(BoardSummary, lambda found: found.time_ns > stopped_ns and found.health != "stale")
            assert (shown.health, shown.reasons[0].split(":")[0]) == ("critical", "the last 3 results are invalid")
        finally:
            assert second.stop()
    finally:
        agent.stop()
        watcher.stop()


def test_after_the_broker_lost_everything_all_is_published_anew(broker, collector, agent, watcher):
    agent.say_status()
    agent.send_batch(fake_agent.result())
    watcher.next(BoardSummary, lambda found: found.results == 1)
    broker.kill()
    with EmbeddedBroker(broker.port):
        late = fake_agent.Client(broker.url, "late", [topics.fleet(), topics.collector_status()])
        try:
            seen: set[str] = set()
            while seen != {"fleet", "collector"}:
                message = late.messages.get(timeout=fake_agent.WAIT_S)
                found = topics.parse(message.topic)
                if found.kind == "fleet":
                    assert decode(message.payload, BoardSummary).results == 1
                seen.add(found.kind)
        finally:
            late.stop()
        assert collector.report.counters()["mqtt_losses"] >= 1


def test_a_part_of_the_fleet_is_served_and_the_rest_left_alone(broker, tmp_path):
    own, other = "lab.pi", "lab.pi2"
    assert partition_of(own) != partition_of(other)
    partitions = [partition_of(own)]
    running = started(Config(broker=broker.url, state_dir=str(tmp_path), partitions=partitions, status_interval_s=0.5))
    client = fake_agent.Client(broker.url, "client-1", [topics.replies(CLIENT)])
    agents = [fake_agent.FakeAgent(broker.url, time.time_ns(), node) for node in (other, own)]
    try:
        for agent in agents:
            agent.say_status()
            agent.send_batch(fake_agent.result())
        agents[1].next_sack(1)
        status = ask(client, "status", StatusRequest(), StatusReply)
        assert [view.status.node for view in status.agents] == [own]
        assert status.collector.partitions == partitions
        assert status.ledger["stored"] == 1
        assert running.stop()
        # What the store has of boards that are another collector's now is not told by this one.
        others = [partition for partition in range(16) if partition != partition_of(own)]
        running = started(Config(broker=broker.url, state_dir=str(tmp_path), partitions=others, status_interval_s=0.5))
        boards = ask(client, "boards", BoardsRequest(), BoardsReply).boards
        assert own not in {board.node for board in boards}
    finally:
        for each in (*agents, client):
            each.stop()
        assert running.stop()


def test_two_collectors_with_overlapping_partitions_each_say_so(broker, tmp_path):
    configs = [
        Config(id=name, broker=broker.url, state_dir=str(tmp_path / name), partitions=partitions, status_interval_s=0.5)
        for name, partitions in (("one", list(range(16))), ("two", [3, 4]))
    ]
    running = [Collector(config) for config in configs]
    watcher = fake_agent.Client(broker.url, "watcher", [topics.collector_status()])
    try:
        for each in running:
            each.start()
        for name, other in (("one", "two"), ("two", "one")):
            said = watcher.next(CollectorStatus, lambda found, name=name: found.id == name and found.reasons)
            assert said.health == "warning"
            assert said.reasons == [f"collector {other} serves its partitions too (3-4); each may have one collector"]
    finally:
        watcher.stop()
        ended = [each.stop() for each in running]
    assert ended == [True, True]


def test_a_dropped_connection_is_made_again_and_records_flow(collector, agent):
    collector.connection.drop("for this test")
    batch = agent.send_batch(fake_agent.result())
    while True:
        try:
            agent.next_sack(1, wait_s=0.5)
            break
        except queue.Empty:
            agent.send(topics.agent_topic(agent.node, "records"), batch)
    assert collector.report.counters()["mqtt_connections"] >= 2


def test_ready_only_with_a_broker(tmp_path):
    collector = Collector(Config(broker="mqtt://127.0.0.1:1", state_dir=str(tmp_path)))
    collector.start()
    try:
        code, body = get(collector, "/readyz")
        assert code == 503
        assert "broker" in json.loads(body)["checks"]
        assert json.loads(body)["checks"]["broker"] != "ok"
        assert get(collector, "/healthz")[0] == 200
    finally:
        assert collector.stop()
    assert not (tmp_path / "endpoints.json").exists()


def test_a_second_collector_on_the_same_state_is_refused(collector, config):
    with pytest.raises(CannotStart, match=r"state\.sqlite: another process holds it"):
        Collector(config).start()


def test_a_port_that_is_taken_is_named(broker, collector, tmp_path):
    host, port = collector.endpoints.address
    listen = EndpointsConfig(f"{host}:{port}")
    other = Collector(Config(broker=broker.url, state_dir=str(tmp_path / "other"), endpoints=listen))
    with pytest.raises(CannotStart, match=rf"endpoints.listen: cannot listen on {host}:{port}: Address already in use"):
        other.start()
