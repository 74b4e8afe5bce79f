"""A collector whose board becomes slower: status, summary and webhook have it once, also after a restart."""

import http.server
import json
import queue
import threading
import time
from collections.abc import Iterator

import fake_agent
import pytest
from started_collector import started

from tinyprof_collector.config import AlertsConfig, Config
from tinyprof_protocol import topics
from tinyprof_protocol.codec import decode
from tinyprof_protocol.presence import BoardSummary
from tinyprof_protocol.requests import StatusReply, StatusRequest

CLIENT = "ef" * 16


class Hook:
    """Takes alerts."""

    def __init__(self) -> None:
        self.alerts: queue.Queue[dict] = queue.Queue()
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.alerts.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def hook() -> Iterator[Hook]:
    running = Hook()
    yield running
    running.close()


def measured(agent, *figures: float) -> None:
    agent.send_batch(*(fake_agent.result(value) for value in figures))
    agent.next_sack(agent.next_seq - 1)


def regressed_summary(url: str) -> BoardSummary:
    """The board's summary once it tells of a regression."""
    looking = fake_agent.Client(url, "looking", [topics.fleet("+", "+")])
    try:
        return looking.next(BoardSummary, lambda found: bool(found.regressions) and found.health == "warning")
    finally:
        looking.stop()


def status(client) -> StatusReply:
    topic = topics.requests("main", "status")
    client.send(topic, StatusRequest(), response_topic=topics.replies(CLIENT), correlation=b"s")
    return decode(client.messages.get(timeout=fake_agent.WAIT_S).payload, StatusReply)


def test_a_board_that_becomes_slower_is_told_everywhere_once_and_over_a_restart(broker, tmp_path, hook):
    config = Config(
        broker=broker.url, state_dir=str(tmp_path / "state"), status_interval_s=0.2,
        alerts=AlertsConfig(url=hook.url, hold_s=0.0),
    )  # fmt: skip
    collector = started(config)
    agent = fake_agent.FakeAgent(broker.url, time.time_ns())
    agent.say_status()
    measured(agent, *(100.0 + n % 3 for n in range(30)))
    measured(agent, *(80.0 + n % 2 for n in range(6)))
    found = regressed_summary(broker.url)
    assert [one.metric for one in found.regressions] == ["decode_tps"]
    assert found.reasons == ["decode fell by 20.8%, from 101 to 80 tokens/s"]
    alert = hook.alerts.get(timeout=fake_agent.WAIT_S)
    assert (alert["event"], alert["subject"]["name"], alert["regression"]["metric"]) == (
        "regressed",
        "b1",
        "decode_tps",
    )
    client = fake_agent.Client(broker.url, CLIENT, [topics.replies(CLIENT)])
    assert status(client).regressions == found.regressions
    assert collector.stop()

    collector = started(config)
    agent.say_status()
    assert regressed_summary(broker.url).regressions == found.regressions
    measured(agent, *(80.0 + n % 2 for n in range(20)))
    measured(agent, *(100.0 + n % 3 for n in range(10)))
    ended = hook.alerts.get(timeout=fake_agent.WAIT_S)
    assert (ended["event"], ended["reasons"]) == ("regression_ended", ["its level is back"])
    assert status(client).regressions == []
    assert hook.alerts.empty()
    client.stop()
    agent.stop()
    assert collector.stop()


def test_an_agent_that_is_critical_is_told_and_so_is_its_end(broker, tmp_path, hook):
    from msgspec.structs import replace

    from tinyprof_protocol.presence import AgentStatus

    config = Config(
        broker=broker.url, state_dir=str(tmp_path / "state"), status_interval_s=0.2,
        alerts=AlertsConfig(url=hook.url, hold_s=0.0),
    )  # fmt: skip
    collector = started(config)
    agent = fake_agent.FakeAgent(broker.url, time.time_ns())
    sick = AgentStatus("lab.pi", "online", time_ns=time.time_ns(), level="critical", messages=["the disk is full"])
    agent.send(topics.agent_topic("lab.pi", "status"), sick, retain=True)
    alert = hook.alerts.get(timeout=fake_agent.WAIT_S)
    assert (alert["event"], alert["text"]) == ("critical", "agent lab.pi is critical: the disk is full")
    agent.send(topics.agent_topic("lab.pi", "status"), replace(sick, level="info", messages=[]), retain=True)
    assert hook.alerts.get(timeout=fake_agent.WAIT_S)["event"] == "recovered"
    agent.stop()
    assert collector.stop()
