"""How quick the collector is on its SQLite store, beside the bare minimum of the same work in the same run.

    python benchmarks/collector.py [--records 40000] [--rounds 5] [--part pipeline|path] [--json]

`pipeline`: batches of 100 results, from lists of messages to committed rows and acknowledgements ready to send,
against a bare loop that decodes the same bytes and inserts them with `executemany` into the same tables, with the same
number of commits. Each takes turns with the other; medians of the rounds.

`path`: the collector's service as a process of its own on an embedded broker. Batches of 100 results of 8 agents, from
the broker to committed and acknowledged, as records/s; and batches of 1 of 100 agents, against a paho subscriber, also
a process of its own, that only counts and publishes one acknowledgement for every 8 messages. Where it matters that an
agent may have only 8 batches in the queue, the bound is raised; the output says so.
"""

import argparse
import contextlib
import itertools
import json
import os
import queue
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tinyprof.embedded_broker import EmbeddedBroker
from tinyprof_collector.pipeline import Pipeline
from tinyprof_collector.quarantine import Quarantine
from tinyprof_collector.sqlite_file import open_durable
from tinyprof_collector.state.sqlite import SqliteState
from tinyprof_collector.stores.sqlite import INSERT_FIGURE, INSERT_RECORD, MIGRATIONS, SqliteStore
from tinyprof_protocol.bounds import MAX_SEQ
from tinyprof_protocol.broker_address import parse_broker
from tinyprof_protocol.codec import decode, encode, pack, unpack
from tinyprof_protocol.connection import Connection, Hooks, Message
from tinyprof_protocol.delivery import MAX_BATCH_BYTES, Batch, Entry, Sack
from tinyprof_protocol.ranges import RangeSet
from tinyprof_protocol.records import Build, ClockReport, Conditions, Figure, Record, Result
from tinyprof_protocol.topics import agent_topic, agent_topics_of

TARGET_RATIO = 0.5
BATCH = 100
LIST = 8
"""Batches in one list of the pipeline, and in one commit of the bare loop."""
PATH_TIMEOUT_S = 120.0
RAISED = """[ingest]
batches_per_agent = 100000
max_batches = 1000000
take_batches = 1024
"""
_METRICS = ("ttft_ms", "decode_tps")
_BUILD = Build("host", "ref", "1", "stories260k", "0" * 64, "q8_0", "f32", "f32", 512, "device")


def result_record(seq: int, time_ns: int) -> bytes:
    """An encoded result, as small as it must be for 100 of them to fit into a batch of 64 KiB."""
    figures = {name: Figure(10.0 + seq % 7, 9.5, 10.5, 0.969) for name in _METRICS}
    result = Result(
        run_id=seq.to_bytes(16, "big"), board=f"board-{seq % 4}", build=_BUILD, suite="quick", prompts=["Once"],
        max_tokens=64, verdict="valid", reasons=[], golden="match", clock=ClockReport("host"), figures=figures,
        repetitions=[], conditions=Conditions(), timed_s=10.0,
    )  # fmt: skip
    return pack(Record(time_ns + seq * 1000, "clock", bytes(16), seq, result))


def batch_messages(node: str, epoch: bytes, count: int, size: int) -> list[Message]:
    """Messages with `count` batches of `size` results each, in order."""
    now_ns = time.time_ns()
    topic = agent_topic(node, "records")
    messages = []
    for at in range(count):
        seqs = range(at * size + 1, (at + 1) * size + 1)
        entries = [Entry(seq, result_record(seq, now_ns)) for seq in seqs]
        assert sum(len(entry.data) for entry in entries) <= MAX_BATCH_BYTES, "an agent would not send so large a batch"
        messages.append(Message(topic, encode(Batch(node, epoch, 1, [], entries)), False, None, None))
    return messages


# ---- the pipeline beside a bare loop


def pipeline_seconds(folder: Path, messages: list[Message]) -> float:
    """All messages through the real pipeline, in lists of 8."""
    store = SqliteStore(folder / "store.sqlite")
    state, quarantine = SqliteState(folder / "state.sqlite"), Quarantine(folder / "quarantine.sqlite")
    pipeline = Pipeline([store], state, quarantine)
    started = time.perf_counter()
    sacks = [pipeline.process(messages[at : at + LIST]) for at in range(0, len(messages), LIST)]
    seconds = time.perf_counter() - started
    expected = sum(len(decode(message.payload, Batch).records) for message in messages)
    assert decode(sacks[-1][-1].payload, Sack).cum == expected, "not all was acknowledged"
    assert pipeline.ledger(verify=True).ok, "the ledger does not add up"
    for part in (store, state, quarantine):
        part.close()
    return seconds


def bare_seconds(folder: Path, messages: list[Message]) -> float:
    """The same bytes decoded and inserted into the same tables, with nothing else done."""
    connection = open_durable(folder / "bare.sqlite", MIGRATIONS)
    connection.execute("PRAGMA cache_size = -65536")
    ids = {name: number for number, name in enumerate(_METRICS, 1)}
    record_id = 0
    started = time.perf_counter()
    for at in range(0, len(messages), LIST):
        connection.execute("BEGIN IMMEDIATE")
        rows: list[tuple[Any, ...]] = []
        figures: list[tuple[Any, ...]] = []
        for message in messages[at : at + LIST]:
            for entry in decode(message.payload, Batch).records:
                record = unpack(entry.data, Record)
                body = record.body
                assert isinstance(body, Result)
                record_id += 1
                rows.append(
                    (record_id, 1, entry.seq, 1, 0, record.time_ns, body.verdict, body.run_id, entry.data)
                )  # fmt: skip
                figures += [(record_id, ids[name], f.value, f.low, f.high) for name, f in body.figures.items()]
        connection.executemany(INSERT_RECORD, rows)
        connection.executemany(INSERT_FIGURE, figures)
        connection.execute("COMMIT")
    seconds = time.perf_counter() - started
    connection.close()
    return seconds


def measure_pipeline(records: int, rounds: int) -> dict[str, Any]:
    """Records/s of both, and their ratio, in turns so that a noisy machine troubles both alike."""
    messages = batch_messages("lab.bench", os.urandom(16), max(LIST, records // BATCH), BATCH)
    count = len(messages) * BATCH
    ours, bare = [], []
    for _ in range(rounds):
        for run, seconds in ((bare_seconds, bare), (pipeline_seconds, ours)):
            with tempfile.TemporaryDirectory() as folder:
                seconds.append(run(Path(folder), messages))
    ratios = [b / o for b, o in zip(bare, ours, strict=True)]
    return {
        "records": count,
        "record_bytes": len(result_record(1, 0)),
        "us_per_record": round(statistics.median(ours) / count * 1e6, 2),
        "bare_us_per_record": round(statistics.median(bare) / count * 1e6, 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_lowest": round(min(ratios), 3),
        "target": TARGET_RATIO,
    }


# ---- the whole path, through a broker


class RawPublisher:
    """Writes ready-made MQTT 5 packets to a socket: it must cost less than what it measures."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        client = b"bench-publisher"
        body = b"\x00\x04MQTT\x05\x02\x01\x2c\x00" + len(client).to_bytes(2, "big") + client
        self._socket.sendall(b"\x10" + _variable(len(body)) + body)
        if self._socket.recv(64)[:1] != b"\x20":
            raise RuntimeError("the broker refuses the publisher")
        threading.Thread(target=self._drain, name="pubacks", daemon=True).start()

    def _drain(self) -> None:
        with contextlib.suppress(OSError):
            while self._socket.recv(65536):
                pass

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
def collector_process(url: str, folder: Path, settings: str) -> Iterator[None]:
    """The real service, as `tinyprof collector run` starts it."""
    config = folder / "collector.toml"
    config.write_text(f'broker = "{url}"\nstate_dir = "{folder}/state"\n[endpoints]\nlisten = ""\n{settings}')
    command = [sys.executable, "-m", "tinyprof_collector", "--config", str(config)]
    with child(command, "is ready") as process:
        yield
        del process


@contextlib.contextmanager
def child(command: list[str], ready: str) -> Iterator["queue.Queue[str]"]:
    """A process whose lines (of both outputs) come in a queue, once one of them says that it is ready."""
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
        yield lines
    finally:
        process.terminate()
        process.wait(30)


def drained(port: int, packets: bytes, wait: Callable[[], bool]) -> float:
    """Seconds from the first byte sent until `wait` says that all has been dealt with."""
    publisher = RawPublisher(port)
    started = time.perf_counter()
    publisher.send(packets)
    if not wait():
        raise RuntimeError(f"not done within {PATH_TIMEOUT_S:.0f} s")
    seconds = time.perf_counter() - started
    publisher.close()
    return seconds


def collector_drains(broker: EmbeddedBroker, messages: list[Message], owed: dict[str, int]) -> tuple[float, int]:
    """Seconds until the collector has acknowledged all, and how many acknowledgements that took."""
    packets = b"".join(publish_packet(message, at % 60_000 + 1) for at, message in enumerate(messages))
    with tempfile.TemporaryDirectory() as folder, collector_process(broker.url, Path(folder), RAISED):
        listener = SackListener(broker.url, owed)
        seconds = drained(broker.port, packets, lambda: listener.done.wait(PATH_TIMEOUT_S))
        listener.connection.stop()
    return seconds, listener.sacks


def bare_drains(broker: EmbeddedBroker, messages: list[Message]) -> float:
    """Seconds until a subscriber that only counts has seen all."""
    packets = b"".join(publish_packet(message, at % 60_000 + 1) for at, message in enumerate(messages))
    command = [sys.executable, __file__, "--bare-subscriber", str(broker.port), "--records", str(len(messages))]
    with child(command, "ready") as lines:
        return drained(broker.port, packets, lambda: "done" in lines.get(timeout=PATH_TIMEOUT_S))


def bare_subscriber(port: int, count: int) -> None:
    """Counts messages and publishes one acknowledgement for every 8; says when it has seen `count`."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    seen = itertools.count(1)
    payload = encode(Sack("lab.bench", bytes(16), 8, []))

    def on_connect(client: paho.Client, *_: object) -> None:
        client.subscribe("tinyprof/1/+/+/records", 1)

    def on_message(client: paho.Client, _: object, message: paho.MQTTMessage) -> None:
        number = next(seen)
        if number % 8 == 0:
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


def measure_path(records: int, rounds: int, bare_us: float) -> dict[str, Any]:
    """Batches of 100 as records/s against the bare loop; batches of 1 as messages/s against the bare subscriber."""
    hundreds, ones = _load(8, max(1, records // BATCH // 8), BATCH), _load(100, records // 200, 1)
    large, small, bare, sacks = [], [], [], 0
    for _ in range(rounds):
        with EmbeddedBroker() as broker:
            large.append(collector_drains(broker, *hundreds)[0])
        with EmbeddedBroker() as broker:
            seconds, sacks = collector_drains(broker, *ones)
            small.append(seconds)
        with EmbeddedBroker() as broker:
            bare.append(bare_drains(broker, ones[0]))
    n_large, n_small = len(hundreds[0]) * BATCH, len(ones[0])
    large_s, small_s, bare_s = map(statistics.median, (large, small, bare))
    return {
        "raised_bounds": " ".join(RAISED.split()),
        "batches_of_100": {
            "records": n_large,
            "records_per_s": round(n_large / large_s),
            "bare_loop_records_per_s": round(1e6 / bare_us),
            "ratio": round(n_large / large_s * bare_us / 1e6, 3),
            "target": TARGET_RATIO,
        },
        "batches_of_1": {
            "messages": n_small,
            "messages_per_s": round(n_small / small_s),
            "messages_per_sack": round(n_small / sacks, 1),
            "bare_subscriber_messages_per_s": round(n_small / bare_s),
            "ratio": round(bare_s / small_s, 3),
            "target": TARGET_RATIO,
        },
    }


def _load(agents: int, batches: int, size: int) -> tuple[list[Message], dict[str, int]]:
    nodes = [f"lab.bench-{number}" for number in range(agents)]
    each = [batch_messages(node, os.urandom(16), batches, size) for node in nodes]
    messages = [message for turn in zip(*each, strict=True) for message in turn]
    return messages, dict.fromkeys(nodes, batches * size)


def main() -> None:
    """Runs what was asked for and prints it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part", choices=("pipeline", "path"), help="one of the two only")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--bare-subscriber", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare_subscriber is not None:
        bare_subscriber(options.bare_subscriber, options.records)
        return
    measured: dict[str, Any] = {"pipeline": measure_pipeline(options.records, options.rounds)}
    if options.part != "pipeline":
        measured["path"] = measure_path(
            options.records, max(1, options.rounds // 2), measured["pipeline"]["bare_us_per_record"]
        )
    print(json.dumps(measured) if options.json else _table(measured))


def _table(measured: dict[str, Any], indent: str = "") -> str:
    lines = []
    for name, value in measured.items():
        lines.append(f"{indent}{name}:" if isinstance(value, dict) else f"{indent}{name:34} {value}")
        if isinstance(value, dict):
            lines.append(_table(value, indent + "  "))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
