"""The uplink and a real spool against a network that drops, repeats, delays and reorders, and a collector that forgets.

Everything runs on a clock of its own in one thread. At the end the network heals, and then every record that was made
is in exactly one place: the collector's store, whole and once, or reported evicted.
"""

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from set_clock import SetClock

from tinyprof_agent.spool import Spool
from tinyprof_agent.uplink import Uplink
from tinyprof_protocol.codec import decode, encode
from tinyprof_protocol.connection import Publication, Published
from tinyprof_protocol.delivery import MAX_BATCH_BYTES, Batch, Sack
from tinyprof_protocol.ranges import RangeSet
from tinyprof_protocol.records import Body, Event, Sample

NODE = "lab.one"


class Collector:
    """Accounts as the contract says: base accounts all below it, then records and evicted ranges one by one."""

    def __init__(self) -> None:
        self.accounted: dict[bytes, RangeSet] = {}
        self.stored: dict[tuple[bytes, int], bytes] = {}
        self.evicted: set[tuple[bytes, int]] = set()
        self.batches: list[Batch] = []
        self.poison: tuple[bytes, int] | None = None

    def receive(self, payload: bytes) -> Sack | None:
        batch = decode(payload, Batch)
        self.batches.append(batch)
        if self.poison in {(batch.epoch, entry.seq) for entry in batch.records}:
            return None
        accounted = self.accounted.setdefault(batch.epoch, RangeSet())
        if batch.base > 1:
            accounted.add(1, batch.base - 1)
        for entry in batch.records:
            key = (batch.epoch, entry.seq)
            assert self.stored.setdefault(key, entry.data) == entry.data, "one seq, two records"
            accounted.add(entry.seq)
        for gone in batch.evicted:
            self.evicted.update((batch.epoch, seq) for seq in range(gone.first, gone.last + 1))
            accounted.add(gone.first, gone.last)
        return Sack(NODE, batch.epoch, accounted.cum, accounted.pairs()[-64:])


class Simulation:
    def __init__(self, folder: Path, rng: random.Random, cap_bytes: int) -> None:
        self.folder, self.rng, self.cap_bytes = folder, rng, cap_bytes
        self.clock = SetClock()
        self.now_s = 0.0
        self.collector = Collector()
        self.made: set[tuple[bytes, int]] = set()
        self.wire: list[tuple[int, bytes]] = []
        self.mail: list[Any] = []
        self.token = 0
        self.loss = 0.3
        self.link_up = False
        self.packet: int | None = None
        self.refuses = False
        self.open()

    def open(self) -> None:
        self.spool = Spool.open(self.folder / "s.db", self.clock, cap_bytes=self.cap_bytes)
        self.uplink = Uplink(
            self.spool, NODE, self.publish, max_packet_bytes=lambda: self.packet,
            rng=self.rng, clock_s=lambda: self.now_s,
        )  # fmt: skip
        self.mail, self.wire, self.link_up = [], [], False

    def publish(self, publication: Publication) -> int | None:
        if not self.link_up:
            return None
        self.token += 1
        assert publication.expiry_s == 60
        assert self.packet is None or len(publication.payload) < self.packet
        self.wire.append((self.token, publication.payload))
        return self.token

    def record(self, bodies: list[Body]) -> None:
        epoch = self.spool.owed()[-1].epoch
        self.made.update((epoch, seq) for seq in self.spool.record(bodies))

    def connect(self) -> None:
        if not self.link_up:
            self.link_up = True
            self.mail.append(True)

    def cut_off(self) -> None:
        if self.link_up:
            self.link_up = False
            self.mail += [Published(token, "lost") for token, _ in self.wire]
            self.mail.append(False)
            self.wire = []

    def restart(self) -> None:
        self.spool.close()
        self.open()

    def carry(self) -> None:
        """Some of what is on the wire arrives, in any order, some of it twice; answers likewise."""
        self.rng.shuffle(self.wire)
        wire, self.wire = self.wire, []
        for token, payload in wire:
            if self.refuses:
                self.mail.append(Published(token, "refused", "not authorized"))
                continue
            self.mail.append(Published(token, "acknowledged"))
            for _ in range(self.rng.choice([1, 1, 2])):
                if self.rng.random() >= self.loss:
                    self.answer(self.collector.receive(payload))

    def answer(self, sack: Sack | None) -> None:
        if sack is not None and self.rng.random() >= self.loss:
            self.mail.append(decode(encode(sack), Sack))

    def turn(self) -> None:
        mail, self.mail = self.mail, []
        wait_s = self.uplink.turn(mail)
        self.carry()
        passed = min(wait_s, self.rng.choice([0.01, 0.5, 3.0])) if not self.mail else 0.01
        self.now_s += passed
        self.clock.pass_s(passed)

    def heal(self, done: Callable[[], bool], turns: int = 3000) -> None:
        self.loss, self.refuses = 0.0, False
        self.connect()
        for _ in range(turns):
            self.turn()
            if done():
                return
        raise AssertionError(f"not all was delivered: {self.spool.owed()} {self.uplink.counters()}")

    def owes_nothing(self) -> bool:
        return all(view.base > view.head for view in self.spool.views())

    def judge(self) -> None:
        stored = set(self.collector.stored)
        assert stored <= self.made
        assert self.made <= stored | self.collector.evicted
        for batch in self.collector.batches:
            assert len(batch.records) <= 256
            assert len(batch.evicted) <= 64
            assert sum(len(entry.data) for entry in batch.records) <= MAX_BATCH_BYTES


def bodies(rng: random.Random, number: int) -> list[Body]:
    return [
        Sample({"load_1m": float(i)}) if rng.random() < 0.6 else Event(f"e{i}", message="m" * rng.randrange(200))
        for i in range(number)
    ]


STEPS = st.lists(
    st.sampled_from(
        ["record", "many", "turn", "turn", "turn", "cut", "connect", "restart", "step", "packet", "refuse"]
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, seed=st.integers(0, 10**6), cap=st.sampled_from([8_000, 60_000, 10**7]))
def test_whatever_the_network_does_all_is_delivered_once(steps: list[str], seed: int, cap: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rng = random.Random(seed)
        run = Simulation(Path(folder), rng, cap)
        actions: dict[str, Callable[[], None]] = {
            "record": lambda: run.record(bodies(rng, rng.randrange(1, 5))),
            "many": lambda: run.record(bodies(rng, 300)),
            "turn": run.turn,
            "cut": run.cut_off,
            "connect": run.connect,
            "restart": run.restart,
            "step": lambda: run.clock.step_s(-5),
            "packet": lambda: setattr(run, "packet", rng.choice([None, 2_000, 20_000])),
            "refuse": lambda: setattr(run, "refuses", not run.refuses),
        }
        for step in steps:
            # A step back shows in the record that follows it, which begins the new epoch.
            if step == "step":
                actions[step]()
                run.spool.record([Event("after-the-step")])
                run.made.add((run.spool.owed()[-1].epoch, run.spool.owed()[-1].head))
            else:
                actions[step]()
        run.packet = None
        run.cut_off()
        run.heal(run.owes_nothing)
        run.judge()
        run.spool.close()


def test_a_poison_record_is_found_alone_and_all_others_are_delivered(tmp_path: Path) -> None:
    run = Simulation(tmp_path, random.Random(3), 10**7)
    run.record(bodies(run.rng, 700))
    epoch = run.spool.owed()[-1].epoch
    run.collector.poison = (epoch, 300)
    run.heal(lambda: len(run.collector.stored) == 699, turns=2000)
    run.turn()
    assert run.spool.owed()[-1].base == 300
    assert run.uplink.counters()["batches_halved"] >= 8
    run.record(bodies(run.rng, 50))
    run.heal(lambda: len(run.collector.stored) == 749)
    run.collector.poison = None
    run.heal(run.owes_nothing)
    run.judge()
    run.spool.close()


def test_a_collector_that_was_away_for_long_gets_all_of_it(tmp_path: Path) -> None:
    run = Simulation(tmp_path, random.Random(4), 10**7)
    run.record(bodies(run.rng, 2000))
    run.loss = 1.0
    run.connect()
    for _ in range(600):
        run.turn()
    assert run.collector.stored == {}
    assert run.uplink.counters()["batches_in_flight"] <= 72
    run.heal(run.owes_nothing)
    run.judge()
    run.spool.close()


def test_refused_batches_do_not_count_as_sent(tmp_path: Path) -> None:
    run = Simulation(tmp_path, random.Random(5), 10**7)
    run.record(bodies(run.rng, 10))
    run.refuses = True
    run.connect()
    for _ in range(5):
        run.turn()
    counters = run.uplink.counters()
    assert counters["batches_refused"] >= 1
    assert "records_sent" not in counters
    run.heal(run.owes_nothing)
    assert run.uplink.counters()["records_sent"] >= 10
    run.spool.close()


@pytest.mark.parametrize("payload", [b"", b"\x00\xff", encode(Sack("other.node", b"e" * 16, 1, []))])
def test_acknowledgements_that_are_none_of_ours_are_ignored_and_counted(tmp_path: Path, payload: bytes) -> None:
    run = Simulation(tmp_path, random.Random(6), 10**7)
    run.uplink.on_sack(payload)
    counters = run.uplink.counters()
    assert counters.get("bad_sacks", 0) + counters.get("strange_sacks", 0) == 1
    run.spool.close()
