"""The collector's service as a process on a real broker, beside a bare loop and beside a subscriber that only counts.

Every message waits in the broker before the clock starts: the subscriber is connected and subscribed, but stopped
(SIGSTOP), until the broker has acknowledged all of them to the publisher. So neither making nor publishing the load
is timed. The broker's forwarding is, because it is the path; its CPU time is given beside the figures.
"""

import contextlib
import itertools
import os
import queue
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from collector_load import bare_seconds, fleet_load

from tinyprof.embedded_broker import EmbeddedBroker
from tinyprof_protocol.bounds import MAX_SEQ
from tinyprof_protocol.broker_address import parse_broker
from tinyprof_protocol.codec import decode, encode
from tinyprof_protocol.connection import Connection, Hooks, Message
from tinyprof_protocol.delivery import Sack
from tinyprof_protocol.ranges import RangeSet
from tinyprof_protocol.topics import agent_topics_of

TIMEOUT_S = 120.0
BATCH = 100
MESSAGES_PER_BARE_SACK = 8
RAISED = """[ingest]
batches_per_agent = 100000
max_batches = 1000000
"""


@dataclass(frozen=True, slots=True)
class Drained:
    """What it took a subscriber to deal with all that waited in the broker."""

    seconds: float
    cpu_s: float
    """Of the subscriber's process."""
    broker_cpu_s: float
    sacks: int


def cpu_s(pid: int) -> float:
    """CPU time that a process, all its threads together, has taken so far."""
    return time.clock_gettime(~pid << 3 | 2)  # the clock that clock_getcpuclockid(3) names for a process


class RawPublisher:
    """Writes ready-made MQTT 5 packets to a socket, and counts what the broker acknowledges."""

    def __init__(self, port: int, expected: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        client = b"bench-publisher"
        body = b"\x00\x04MQTT\x05\x02\x01\x2c\x00" + len(client).to_bytes(2, "big") + client
        self._socket.sendall(b"\x10" + _variable(len(body)) + body)
        if self._socket.recv(64)[:1] != b"\x20":
            raise RuntimeError("the broker refuses the publisher")
        self._expected = expected
        self.acknowledged = threading.Event()
        """Set when the broker has acknowledged as many messages as were expected."""
        threading.Thread(target=self._count, name="pubacks", daemon=True).start()

    def _count(self) -> None:
        waiting, seen = b"", 0
        with contextlib.suppress(OSError):
            while chunk := self._socket.recv(65536):
                waiting += chunk
                at = 0
                while at + 2 <= len(waiting) and at + 2 + waiting[at + 1] <= len(waiting):
                    seen += waiting[at] == 0x40
                    at += 2 + waiting[at + 1]
                waiting = waiting[at:]
                if seen >= self._expected:
                    self.acknowledged.set()

    def send(self, packets: bytes) -> None:
        """Writes packets; returns once the kernel has them."""
        self._socket.sendall(packets)

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()


def publish_packet(message: Message, packet_id: int) -> bytes:
    """A PUBLISH of quality 1 that expires after 60 s."""
    topic = message.topic.encode()
    head = len(topic).to_bytes(2, "big") + topic + packet_id.to_bytes(2, "big") + b"\x05\x02\x00\x00\x00\x3c"
    body = head + message.payload
    return b"\x32" + _variable(len(body)) + body


def _variable(number: int) -> bytes:
    digits = bytearray()
    while True:
        number, digit = divmod(number, 128)
        digits.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(digits)


class SackListener:
    """Follows acknowledgements until every node has been told that all is accounted."""

    def __init__(self, url: str, owed: dict[str, int]) -> None:
        self._owed = dict(owed)
        self._told = {node: RangeSet() for node in owed}
        self.sacks = 0
        self.ready, self.done = threading.Event(), threading.Event()
        hooks = Hooks(on_message=self._on_message, on_connected=self.ready.set)
        filters = [(agent_topics_of(None, "sack"), 0)]
        self.connection = Connection(parse_broker(url), "bench-listener", hooks, subscriptions=filters)
        self.connection.start()
        if not self.ready.wait(30):
            raise RuntimeError("the listener could not connect")

    def _on_message(self, message: Message) -> None:
        sack = decode(message.payload, Sack)
        self.sacks += 1
        told = self._told[sack.node]
        if sack.cum:
            told.add(1, sack.cum)
        told.update(sack.ranges)
        if told.cum >= self._owed.get(sack.node, MAX_SEQ):
            del self._owed[sack.node]
            if not self._owed:
                self.done.set()


@contextlib.contextmanager
def child(command: list[str], ready: str) -> Iterator[tuple[int, "queue.Queue[str]"]]:
    """A process, by its id, whose lines (of both outputs) come in a queue, once one of them says that it is ready."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)

    threading.Thread(target=read, name="child-output", daemon=True).start()
    try:
        said = ""
        while ready not in said:
            said = lines.get(timeout=30)
        yield process.pid, lines
    finally:
        process.terminate()
        process.wait(30)


class RunningBroker(Protocol):
    """A broker that was started here."""

    port: int
    process: subprocess.Popen[bytes] | None


def drained(broker: RunningBroker, subscriber: int, messages: list[Message], wait: Callable[[], bool]) -> Drained:
    """What it takes the process `subscriber` from being let go on until `wait` says that all has been dealt with."""
    assert broker.process is not None
    packets = b"".join(publish_packet(message, at % 60_000 + 1) for at, message in enumerate(messages))
    publisher = RawPublisher(broker.port, len(messages))
    os.kill(subscriber, signal.SIGSTOP)
    try:
        publisher.send(packets)
        if not publisher.acknowledged.wait(TIMEOUT_S):
            raise RuntimeError("the broker has not taken all messages")
        cpu, broker_cpu, started = cpu_s(subscriber), cpu_s(broker.process.pid), time.perf_counter()
    finally:
        os.kill(subscriber, signal.SIGCONT)
    if not wait():
        raise RuntimeError(f"not done within {TIMEOUT_S:.0f} s")
    seconds = time.perf_counter() - started
    taken = Drained(seconds, cpu_s(subscriber) - cpu, cpu_s(broker.process.pid) - broker_cpu, 0)
    publisher.close()
    return taken


def collector_drains(messages: list[Message], owed: dict[str, int]) -> Drained:
    """The real service, as `tinyprof collector run` starts it, until it has acknowledged all."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker() as broker:
        config = Path(folder) / "collector.toml"
        config.write_text(
            f'broker = "{broker.url}"\nstate_dir = "{folder}/state"\n[endpoints]\nlisten = ""\n{RAISED}'
        )  # fmt: skip
        with child([sys.executable, "-m", "tinyprof_collector", "--config", str(config)], "is ready") as (pid, _):
            listener = SackListener(broker.url, owed)
            taken = drained(broker, pid, messages, lambda: listener.done.wait(TIMEOUT_S))
            listener.connection.stop()
    return Drained(taken.seconds, taken.cpu_s, taken.broker_cpu_s, listener.sacks)


def bare_drains(messages: list[Message]) -> Drained:
    """A subscriber that only counts, until it has seen all."""
    command = [sys.executable, __file__, "{port}", str(len(messages))]
    with EmbeddedBroker() as broker:
        command[2] = str(broker.port)
        with child(command, "ready") as (pid, lines):
            return drained(broker, pid, messages, lambda: "done" in lines.get(timeout=TIMEOUT_S))


def bare_subscriber(port: int, count: int) -> None:
    """Counts messages and publishes one acknowledgement for every 8; says when it has seen `count`."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    seen = itertools.count(1)
    payload = encode(Sack("lab.bench", bytes(16), MESSAGES_PER_BARE_SACK, []))

    def on_connect(client: paho.Client, *_: object) -> None:
        client.subscribe(agent_topics_of(None, "records"), 1)

    def on_message(client: paho.Client, _: object, message: paho.MQTTMessage) -> None:
        number = next(seen)
        if number % MESSAGES_PER_BARE_SACK == 0:
            client.publish(message.topic.replace("records", "sack"), payload, 1)
        if number == count:
            print("done", flush=True)

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bare", protocol=paho.MQTTv5)
    client.on_connect = on_connect
    client.on_message = on_message
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.on_socket_open = lambda _c, _d, opened: opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_forever()


def bare_loop(messages: list[Message]) -> tuple[float, float]:
    """Seconds and CPU seconds of the bare loop over the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        cpu = time.process_time()
        return bare_seconds(Path(folder), messages), time.process_time() - cpu


def measure_hundreds(records: int, rounds: int) -> dict[str, Any]:
    """Batches of 100 of 8 agents, in turns with the bare loop."""
    messages, owed = fleet_load(8, max(1, records // BATCH // 8), BATCH)
    count = len(messages) * BATCH
    bare, ours = [], []
    for _ in range(rounds):
        bare.append(bare_loop(messages))
        ours.append(collector_drains(messages, owed))
    ratios = [b / o.seconds for (b, _), o in zip(bare, ours, strict=True)]
    cpu_ratios = [b / o.cpu_s for (_, b), o in zip(bare, ours, strict=True)]
    return {
        "records": count,
        "records_per_s": round(count / statistics.median(o.seconds for o in ours)),
        "bare_loop_records_per_s": round(count / statistics.median(b for b, _ in bare)),
        "cpu_us_per_record": round(statistics.median(o.cpu_s for o in ours) / count * 1e6, 2),
        "bare_loop_cpu_us_per_record": round(statistics.median(b for _, b in bare) / count * 1e6, 2),
        "broker_cpu_us_per_record": round(statistics.median(o.broker_cpu_s for o in ours) / count * 1e6, 2),
        "messages_per_sack": round(len(messages) / ours[-1].sacks, 1),
        **_ratios(ratios, cpu_ratios),
    }


def measure_ones(records: int, rounds: int) -> dict[str, Any]:
    """Batches of 1 of 100 agents, in turns with the subscriber that only counts."""
    messages, owed = fleet_load(100, max(1, records // 200), 1)
    count = len(messages)
    bare, ours = [], []
    for _ in range(rounds):
        bare.append(bare_drains(messages))
        ours.append(collector_drains(messages, owed))
    ratios = [b.seconds / o.seconds for b, o in zip(bare, ours, strict=True)]
    cpu_ratios = [b.cpu_s / o.cpu_s for b, o in zip(bare, ours, strict=True)]
    return {
        "messages": count,
        "messages_per_s": round(count / statistics.median(o.seconds for o in ours)),
        "bare_subscriber_messages_per_s": round(count / statistics.median(b.seconds for b in bare)),
        "cpu_us_per_message": round(statistics.median(o.cpu_s for o in ours) / count * 1e6, 1),
        "bare_subscriber_cpu_us_per_message": round(statistics.median(b.cpu_s for b in bare) / count * 1e6, 1),
        "broker_cpu_us_per_message": round(statistics.median(o.broker_cpu_s for o in ours) / count * 1e6, 1),
        "messages_per_sack": round(count / ours[-1].sacks, 1),
        **_ratios(ratios, cpu_ratios),
    }


def _ratios(ratios: list[float], cpu_ratios: list[float]) -> dict[str, Any]:
    return {
        "ratio": round(statistics.median(ratios), 3),
        "ratio_lowest": round(min(ratios), 3),
        "ratio_highest": round(max(ratios), 3),
        "cpu_ratio": round(statistics.median(cpu_ratios), 3),
    }


if __name__ == "__main__":
    bare_subscriber(int(sys.argv[1]), int(sys.argv[2]))
