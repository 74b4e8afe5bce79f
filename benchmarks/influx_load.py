"""What the benchmarks on InfluxDB are fed with: results of 14 fields, of 1,000 boards next to 100 agents.

The plain lines are what a writer without accounting would post: tags, 14 fields (8 values of figures, verdict, golden,
run, suite, context and the model's hash) and a time. Whole lines are those
of the collector's own store, with all their fields.
"""

import os
import time
from binascii import b2a_base64
from collections.abc import Iterable, Iterator
from hashlib import md5

from tinyprof_collector.stores.influx.line_protocol import FixedParts
from tinyprof_collector.stores.influx.lines import lines_of
from tinyprof_collector.stores.store import Arrival
from tinyprof_protocol.codec import decode, encode, pack, unpack
from tinyprof_protocol.connection import Message
from tinyprof_protocol.delivery import MAX_BATCH_BYTES, Batch, Entry
from tinyprof_protocol.records import Build, ClockReport, Conditions, Figure, Record, Result
from tinyprof_protocol.series import series_of
from tinyprof_protocol.topics import agent_topic

AGENTS = 100
BOARDS_OF_AN_AGENT = 10
FIELDS_BESIDE_FIGURES = 15
"""What each line of the load has beside its figures and `rest`."""
LINES_A_POST = 5000
_INTERVALS = ("ttft_ms", "decode_tps")
_PLAIN = ("tpot_ms", "prefill_tps")
_BUILD = Build("host", "ref", "1", "stories260k", "0" * 64, "q8_0", "f32", "f32", 512, "device")


def result_record(seq: int, time_ns: int, board: str) -> bytes:
    """An encoded result, small enough for 100 of them in a batch of 64 KiB."""
    ms = 10.0 + seq % 97 / 7  # as many digits as a measured figure has
    figures = {name: Figure(ms, ms * 0.97, ms * 1.03) for name in _INTERVALS}
    figures |= {name: Figure(seq % 997 / 13) for name in _PLAIN}
    result = Result(
        run_id=md5(time_ns.to_bytes(8)).digest(), board=board, build=_BUILD, suite="quick", prompts=["Once"],
        max_tokens=64, verdict="valid", reasons=[], golden="match", clock=ClockReport("host"), figures=figures,
        repetitions=[], conditions=Conditions(), timed_s=10.0,
    )  # fmt: skip
    return pack(Record(time_ns, "clock", bytes(16), seq, result))


_FIRST = unpack(result_record(1, 0, "board-0"), Record).body
assert isinstance(_FIRST, Result)
SERIES = series_of(_FIRST)


def entries_of(seqs: Iterable[int], began_ns: int) -> list[Entry]:
    """Records of an agent's boards in turn, each a microsecond after the one before."""
    return [Entry(seq, result_record(seq, began_ns + seq * 1000, f"board-{seq % BOARDS_OF_AN_AGENT}")) for seq in seqs]


def fleet_load(batches: int, size: int) -> tuple[list[Message], dict[str, int]]:
    """Batches of 100 agents, in turn, and how many records each of them is owed an answer for."""
    began_ns = (time.time_ns() // 1000 - batches * size) * 1000
    each = []
    for number in range(AGENTS):
        node, epoch = f"lab.bench-{number}", os.urandom(16)
        topic = agent_topic(node, "records")
        messages = []
        for at in range(batches):
            entries = entries_of(range(at * size + 1, (at + 1) * size + 1), began_ns)
            assert sum(len(one.data) + 16 for one in entries) <= MAX_BATCH_BYTES, "an agent would cut it smaller"
            messages.append(Message(topic, encode(Batch(node, epoch, 1, [], entries)), False, None, None))
        each.append(messages)
    turns = [message for turn in zip(*each, strict=True) for message in turn]
    return turns, {f"lab.bench-{number}": batches * size for number in range(AGENTS)}


def records_of(payload: bytes) -> Iterator[Arrival]:
    """The records of a message, decoded to typed structs."""
    batch = decode(payload, Batch)
    for entry in batch.records:
        yield Arrival(batch.node, batch.epoch, entry.seq, entry.data, unpack(entry.data, Record))


def plain_line(arrival: Arrival) -> str:
    """Tags, 14 fields and a time, with nothing checked and nothing escaped."""
    record = arrival.record
    body = record.body
    assert isinstance(body, Result)
    build = body.build
    site, _, agent = arrival.node.partition(".")
    fields = [
        f'verdict="{body.verdict}",golden="{body.golden}",run_id="{body.run_id.hex()}",suite="{body.suite}"',
        f'ctx={build.ctx}i,model_sha256="{build.model_sha256}"',
    ]
    for name, figure in body.figures.items():
        fields.append(f"{name}={figure.value!r}")
        if figure.low is not None:
            fields.append(f"{name}_low={figure.low!r},{name}_high={figure.high!r}")
    return (
        f"bench_result,agent={agent},board={body.board},engine={build.engine},model={build.model},"
        f"platform={build.platform},quantisation={build.quantisation},site={site} {','.join(fields)} {record.time_ns}"
    )


def whole_line(arrival: Arrival) -> str:
    """The same line as the collector's store makes, with nothing checked and nothing escaped."""
    record = arrival.record
    body = record.body
    assert isinstance(body, Result)
    build = body.build
    site, _, agent = arrival.node.partition(".")
    fields, terms, count = [], [], FIELDS_BESIDE_FIGURES
    for name, figure in sorted(body.figures.items()):
        fields.append(f"{name}={figure.value!r}")
        if figure.low is not None:
            fields.append(f"{name}_low={figure.low!r},{name}_high={figure.high!r}")
            count += 2
        count += 1
        terms.append((figure.coverage, figure.n))
    rest = (
        record.boot, record.boottime_ns, body.job_id, body.prompts, body.max_tokens, body.reasons, body.clock,
        body.conditions, terms, body.repetitions, body.timed_s, body.warm_up_s, body.min_repetitions, body.min_timed_s,
        body.itl_us, body.itl_dropped, body.repetitions_dropped, body.output, body.attempt, body.ram_is_rss,
        body.suite_terms, build.stands_for, build.streamed, count,
    )  # fmt: skip
    return (
        f"tinyprof_result,agent={agent},board={body.board},engine={build.engine},model={build.model},"
        f"platform={build.platform},quantisation={build.quantisation},site={site} "
        f'epoch="{arrival.epoch.hex()}",seq={arrival.seq}i,activations="{build.activations}",'
        f'engine_build="{build.engine_build}",kv_cache="{build.kv_cache}",model_sha256="{build.model_sha256}",'
        f'series_id="{SERIES}",suite="{body.suite}",timing="{build.timing}",ctx={build.ctx}i,emulated=false,'
        f'verdict="{body.verdict}",golden="{body.golden}",run_id="{body.run_id.hex()}",asked=false,'
        f'{",".join(fields)},rest="{b2a_base64(pack(rest), newline=False).decode()}" {record.time_ns}'
    )


def bodies(messages: Iterable[Message], *, whole: bool) -> list[bytes]:
    """Ready-made bodies of posts of 5,000 lines."""
    line = whole_line if whole else plain_line
    arrivals = [arrival for message in messages for arrival in records_of(message.payload)]
    lines = [line(arrival) for arrival in arrivals]
    [of_store] = lines_of(arrivals[:1], FixedParts())
    assert not whole or lines[0].encode() == of_store.text, "the store's lines differ"
    return ["\n".join(lines[at : at + LINES_A_POST]).encode() for at in range(0, len(lines), LINES_A_POST)]
