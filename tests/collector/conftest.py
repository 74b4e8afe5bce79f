"""Messages, records and whole pipelines for the collector's tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tinyprof_collector.news import News
from tinyprof_collector.pipeline import Pipeline, PipelineSettings
from tinyprof_collector.quarantine import Quarantine
from tinyprof_collector.state.sqlite import SqliteState
from tinyprof_collector.state.state import StateFailed
from tinyprof_collector.stores.sqlite import SqliteStore
from tinyprof_collector.stores.store import Arrival
from tinyprof_protocol.codec import decode, encode, pack, unpack
from tinyprof_protocol.connection import Message, Publication
from tinyprof_protocol.delivery import Batch, Entry, Evicted, Sack
from tinyprof_protocol.ranges import RangeSet
from tinyprof_protocol.records import (
    Body,
    Build,
    ClockReport,
    Conditions,
    Event,
    Figure,
    Record,
    Repetition,
    Result,
    Sample,
)
from tinyprof_protocol.topics import agent_topic

NOW_NS = 1_800_000_000 * 10**9
NODE = "lab.pi"
BUILD = Build("host", "reference", "numpy", "stories260k", "0" * 64, "q8_0", "f32", "f32", 512, "device")
POISON = b"\xc1 no record"


class Making:
    """Builds what agents send."""

    node = NODE
    now_ns = NOW_NS

    def epoch(self, number: int = 1) -> bytes:
        return number.to_bytes(16, "big")

    def result(self, seq: int, board: str = "alpha", decode_tps: float = 50.0, verdict: str = "valid") -> Result:
        return Result(
            run_id=seq.to_bytes(16, "big"),
            board=board,
            build=BUILD,
            suite="quick",
            prompts=["Once upon a time"],
            max_tokens=64,
            verdict=verdict,  # type: ignore[arg-type]
            reasons=[],
            golden="match",
            clock=ClockReport("host"),
            figures={
                "ttft_ms": Figure(12.5, 12.0, 13.0, 0.969, 6),
                "decode_tps": Figure(decode_tps, decode_tps - 1, decode_tps + 1, 0.969, 6),
            },
            repetitions=[Repetition(0, 12.5, 20.0, 5, 64)],
            conditions=Conditions(),
            timed_s=10.0,
            itl_us=[20_000] * 8,
        )

    def record(self, seq: int, body: Body | None = None, age_s: float = 60.0) -> Record:
        time_ns = NOW_NS - int(age_s * 10**9) + seq * 1000
        return Record(time_ns, "clock", bytes(16), seq * 1000, body or Sample({"temperature_c": 40.0 + seq % 10}))

    def event(self, seq: int) -> Record:
        return self.record(seq, Event("note", message=f"number {seq}"))

    def arrival(self, seq: int, record: Record | None = None, epoch: bytes | None = None, node: str = NODE) -> Arrival:
        record = record or self.record(seq)
        return Arrival(node, epoch or self.epoch(), seq, pack(record), record)

    def batch(
        self,
        seqs: Sequence[int],
        base: int = 1,
        *,
        evicted: Sequence[tuple[int, int]] = (),
        epoch: bytes | None = None,
        node: str = NODE,
        poison: Sequence[int] = (),
        old: Sequence[int] = (),
    ) -> Batch:
        entries = []
        for seq in seqs:
            record = self.record(seq, age_s=40 * 24 * 3600.0 if seq in old else 60.0)
            entries.append(Entry(seq, POISON + str(seq).encode() if seq in poison else pack(record)))
        lost = [Evicted(first, last, "cap") for first, last in evicted]
        return Batch(node, epoch or self.epoch(), base, lost, entries)

    def message(self, batch: Batch) -> Message:
        return Message(agent_topic(batch.node, "records"), encode(batch), False, None, None)

    def batch_message(self, seqs: Sequence[int], base: int = 1, **how: object) -> Message:
        return self.message(self.batch(seqs, base, **how))  # type: ignore[arg-type]

    def sacks(self, publications: Sequence[Publication]) -> list[Sack]:
        return [decode(publication.payload, Sack) for publication in publications]

    def acknowledged(self, publications: Sequence[Publication]) -> RangeSet:
        """What all these acknowledgements together say of their epochs, as the agent unites them."""
        united = RangeSet()
        for sack in self.sacks(publications):
            if sack.cum:
                united.add(1, sack.cum)
            united.update(sack.ranges)
        return united

    def stored_seqs(self, folder: Path) -> list[int]:
        """Asks the store's file itself, past all of the collector's code."""
        import sqlite3

        with sqlite3.connect(folder / "store.sqlite") as connection:
            rows = [(seq, data) for seq, data in connection.execute("SELECT seq, data FROM records ORDER BY seq")]
        for _, data in rows:
            unpack(data, Record)
        return [seq for seq, _ in rows]


class FailingState:
    """A state in front of a real one, whose next writes fail: the collector dies between store and state."""

    def __init__(self, inner: SqliteState) -> None:
        self.inner = inner
        self.failing = False
        self.load = inner.load
        self.check = inner.check
        self.close = inner.close

    def keep(self, changes: object) -> None:
        if self.failing:
            raise StateFailed("state: no room on the disk")
        self.inner.keep(changes)  # type: ignore[arg-type]


@dataclass
class Bench:
    """A pipeline on real files in one folder; it can be killed and started again."""

    folder: Path
    now_ns: int = NOW_NS
    now_s: float = 0.0
    retention_days: float | None = 30.0
    max_items: int = 1000
    stored: list[Arrival] = field(default_factory=list)
    held: list[Arrival] = field(default_factory=list)
    settings: PipelineSettings = field(default_factory=PipelineSettings)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.store = SqliteStore(
            self.folder / "store.sqlite",
            clock=lambda: self.now_ns,
            monotonic=lambda: self.now_s,
            retention_days=self.retention_days,
            busy_timeout_ms=0,
        )
        self.state = FailingState(SqliteState(self.folder / "state.sqlite"))
        self.quarantine = Quarantine(self.folder / "quarantine.sqlite", max_items=self.max_items)
        self.pipeline = Pipeline(
            [self.store],
            self.state,
            self.quarantine,
            lambda: self.now_ns,
            self.settings,
            self.note,
            monotonic=lambda: self.now_s,
        )

    def note(self, news: list[News]) -> None:
        for one in news:
            self.stored.extend(one.new)
            self.held.extend(one.held)

    def stop(self) -> None:
        for part in (self.store, self.state, self.quarantine):
            part.close()

    def restart(self, *, lose_state: bool = False) -> None:
        self.stop()
        if lose_state:
            for path in self.folder.glob("state.sqlite*"):
                path.unlink()
        self.start()


@pytest.fixture(scope="session")
def make() -> Making:
    return Making()


@pytest.fixture
def bench(tmp_path: Path):
    bench = Bench(tmp_path)
    yield bench
    bench.stop()


@pytest.fixture(scope="session")
def new_bench():
    """A bench of one's own, for tests that make many."""
    return Bench


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A real Redis, one for the tests of a file."""
    from redis_server import RedisServer

    running = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield running
    running.stop()


@pytest.fixture
def clean(server):
    """The same, empty."""
    with server.client() as client:
        client.flushall()
    return server
