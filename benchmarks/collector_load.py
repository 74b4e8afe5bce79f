"""What the collector's benchmarks are fed with, and the bare loop that they are compared with."""

import os
import time
from pathlib import Path
from typing import Any

from tinyprof_collector.sqlite_file import open_durable
from tinyprof_collector.stores.sqlite import INSERT_FIGURE, INSERT_RECORD, MIGRATIONS
from tinyprof_protocol.codec import decode, encode, pack, unpack
from tinyprof_protocol.connection import Message
from tinyprof_protocol.delivery import MAX_BATCH_BYTES, Batch, Entry
from tinyprof_protocol.records import Build, ClockReport, Conditions, Figure, Record, Result
from tinyprof_protocol.topics import agent_topic

LIST = 8
"""Batches in one list of the pipeline, and in one commit of the bare loop."""
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


def fleet_load(agents: int, batches: int, size: int) -> tuple[list[Message], dict[str, int]]:
    """Batches of many agents, in turn, and how many records each of them is owed an answer for."""
    nodes = [f"lab.bench-{number}" for number in range(agents)]
    each = [batch_messages(node, os.urandom(16), batches, size) for node in nodes]
    messages = [message for turn in zip(*each, strict=True) for message in turn]
    return messages, dict.fromkeys(nodes, batches * size)


def bare_seconds(folder: Path, messages: list[Message]) -> float:
    """The same bytes decoded and inserted into the same tables, with nothing else done."""
    connection = open_durable(folder / "bare.sqlite", MIGRATIONS)
    connection.execute("PRAGMA cache_size = -65536")
    ids = {name: number for number, name in enumerate(_METRICS, 1)}
    epochs: dict[bytes, int] = {}
    record_id = 0
    started = time.perf_counter()
    for at in range(0, len(messages), LIST):
        connection.execute("BEGIN IMMEDIATE")
        rows: list[tuple[Any, ...]] = []
        figures: list[tuple[Any, ...]] = []
        for message in messages[at : at + LIST]:
            batch = decode(message.payload, Batch)
            epoch_id = epochs.setdefault(batch.epoch, len(epochs) + 1)
            for entry in batch.records:
                record = unpack(entry.data, Record)
                body = record.body
                assert isinstance(body, Result)
                record_id += 1
                rows.append(
                    (record_id, epoch_id, entry.seq, 1, 0, record.time_ns, body.verdict, body.run_id, 1, 0, entry.data)
                )  # fmt: skip
                figures += [(record_id, ids[name], f.value, f.low, f.high) for name, f in body.figures.items()]
        connection.executemany(INSERT_RECORD, rows)
        connection.executemany(INSERT_FIGURE, figures)
        connection.execute("COMMIT")
    seconds = time.perf_counter() - started
    connection.close()
    return seconds
