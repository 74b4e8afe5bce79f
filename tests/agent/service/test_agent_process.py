"""The agent as a process, against a real broker on a free port."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinyprof.embedded_broker import EmbeddedBroker, free_port
from tinyprof_protocol.broker_address import parse_broker
from tinyprof_protocol.codec import decode, encode, unpack
from tinyprof_protocol.connection import Connection, Hooks, Message, Publication
from tinyprof_protocol.delivery import Batch, Sack
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.records import Record, Sample
from tinyprof_protocol.topics import agent_topic, agent_topics_of

PATIENCE_S = 20.0

_CONFIGURATION = """
site = "lab"
agent = "one"
broker = "{broker}"
state_dir = "{state}"
host_sample_every_s = 0.2
[clock]
trust = "always"
[uplink]
status_every_s = 1.0
"""


class Agent:
    """A child process and the lines that it says."""

    def __init__(self, folder: Path, broker: str) -> None:
        path = folder / "agent.toml"
        path.write_text(_CONFIGURATION.format(broker=broker, state=folder / "state"))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TINYPROF_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tinyprof_agent", "--config", str(path)],
            stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        self.lines: list[str] = []
        self.news: queue.Queue[str] = queue.Queue()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stderr:
            for line in stderr:
                self.lines.append(line)
                self.news.put(line)

    def wait_for(self, text: str) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            line = self.news.get(timeout=max(0.01, deadline - time.monotonic()))
            if text in line:
                return line

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_S)
        self.reader.join(PATIENCE_S)
        return code


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        yield running


class Collector:
    """Answers every batch and keeps what came."""

    def __init__(self, broker: str) -> None:
        self.records: dict[tuple[bytes, int], Record] = {}
        self.statuses: queue.Queue[AgentStatus] = queue.Queue()
        self.came: queue.Queue[int] = queue.Queue()
        up = threading.Event()
        self.connection = Connection(
            parse_broker(broker), "collector", Hooks(on_message=self.on_message, on_connected=up.set),
            subscriptions=[(agent_topics_of(None, "records"), 1), (agent_topics_of(None, "status"), 1)],
        )  # fmt: skip
        self.connection.start()
        assert up.wait(PATIENCE_S)

    def on_message(self, message: Message) -> None:
        if message.topic.endswith("/status"):
            self.statuses.put(decode(message.payload, AgentStatus))
            return
        batch = decode(message.payload, Batch)
        for entry in batch.records:
            self.records[batch.epoch, entry.seq] = unpack(entry.data, Record)
        sack = Sack(batch.node, batch.epoch, 0, [(entry.seq, entry.seq) for entry in batch.records])
        self.connection.publish(Publication(agent_topic(batch.node, "sack"), encode(sack)))
        self.came.put(len(self.records))

    def wait_for_records(self, count: int) -> None:
        while self.came.get(timeout=PATIENCE_S) < count:
            pass

    def wait_for_status(self, state: str) -> AgentStatus:
        while (status := self.statuses.get(timeout=PATIENCE_S)).state != state:
            pass
        return status


def test_an_agent_connects_delivers_its_records_and_says_goodbye(broker: EmbeddedBroker, tmp_path: Path) -> None:
    collector = Collector(broker.url)
    agent = Agent(tmp_path, broker.url)
    try:
        agent.wait_for("connected to")
        status = collector.wait_for_status("online")
        assert status.node == "lab.one"
        assert status.epochs is not None
        collector.wait_for_records(3)
        agent.process.send_signal(signal.SIGTERM)
        collector.wait_for_status("offline")
    finally:
        code = agent.end()
        collector.connection.stop()
    assert code == 0
    assert all(isinstance(record.body, Sample) and record.body.board is None for record in collector.records.values())
    assert not any("Traceback" in line for line in agent.lines)


def test_an_agent_whose_broker_is_not_there_says_so_once_and_ends_when_told(tmp_path: Path) -> None:
    agent = Agent(tmp_path, f"mqtt://127.0.0.1:{free_port()}")
    try:
        agent.wait_for("no broker at")
    finally:
        code = agent.end()
    assert code == 0
    assert sum("no broker at" in line for line in agent.lines) == 1


def test_a_second_agent_on_one_spool_ends_with_one_line(tmp_path: Path) -> None:
    first = Agent(tmp_path, f"mqtt://127.0.0.1:{free_port()}")
    try:
        first.wait_for("is ready")
        second = Agent(tmp_path, f"mqtt://127.0.0.1:{free_port()}")
        assert second.process.wait(PATIENCE_S) == 1
        second.reader.join(PATIENCE_S)
        assert len(second.lines) == 1
        assert f"held by process {first.process.pid}" in second.lines[0]
    finally:
        first.end()


def test_the_agent_loads_neither_the_dashboard_nor_the_stores_nor_numpy() -> None:
    program = (
        "import sys, tinyprof_agent.service, tinyprof_agent.__main__\n"
        "from tinyprof_agent.boards import BoardConfig, driver_kinds, make_driver\n"
        "from tinyprof_agent.config import load_config\n"
        "make_driver(BoardConfig('b', 'host', options={'model': 'stories260k-q8_0'}), lambda: 0)\n"
        "strangers = {'textual', 'influxdb_client', 'redis', 'numpy', 'tinyprof_collector', 'tinyprof'}\n"
        "print(sorted(strangers & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
