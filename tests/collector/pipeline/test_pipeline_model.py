"""An agent, a network that loses, repeats and reorders, a collector that dies anywhere: nothing lost, nothing twice.

The agent follows the spool's rules in a few lines; the collector is the real one on real files.
"""

import contextlib
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyprof_collector.decoding import Decoder
from tinyprof_protocol.presence import AgentStatus, EpochOwed
from tinyprof_protocol.ranges import RangeSet

STEPS = ("make", "make", "send", "send", "send", "deliver", "deliver", "deliver", "repeat", "drop", "sack", "sack",
         "evict", "status", "restart", "die between", "store locked", "lose state")  # fmt: skip


class Agent:
    """Owes what it made until a sack names it."""

    def __init__(self, make, rng):
        self.make, self.rng = make, rng
        self.head = 0
        self.records, self.poison, self.old = set(), set(), set()
        self.evicted, self.told_evicted = set(), set()
        self.acknowledged = RangeSet()

    def produce(self, count):
        for seq in range(self.head + 1, self.head + count + 1):
            self.records.add(seq)
            kind = self.rng.random()
            if kind < 0.1:
                self.poison.add(seq)
            elif kind < 0.2:
                self.old.add(seq)
        self.head += count

    @property
    def owed(self):
        return sorted(seq for seq in self.records | self.evicted if seq not in self.acknowledged)

    @property
    def base(self):
        return self.owed[0] if self.owed else self.head + 1

    def batch(self, seqs):
        gone = [(seq, seq) for seq in seqs if seq in self.evicted]
        self.told_evicted.update(seq for seq, _ in gone)
        kept = [seq for seq in seqs if seq in self.records]
        return self.make.batch_message(kept, self.base, evicted=gone, poison=self.poison, old=self.old)

    def evict(self, count):
        victims = [seq for seq in self.owed if seq in self.records][:count]
        self.records.difference_update(victims)
        self.evicted.update(victims)

    def hear(self, sack):
        if sack.cum:
            self.acknowledged.add(1, sack.cum)
        self.acknowledged.update(sack.ranges)

    def status(self):
        return AgentStatus(self.make.node, "online", epochs=[EpochOwed(self.make.epoch(), self.base, self.head)])


class World:
    def __init__(self, bench, make, seed):
        self.bench, self.make = bench, make
        self.rng = random.Random(seed)
        self.agent = Agent(make, self.rng)
        self.batches, self.sacks = [], []
        self.lost_state = self.died = False
        # Retention counts from the newest record in the store: one from the start on keeps it at the present.
        self.agent.records.add(1)
        self.agent.head = 1
        self.process([self.agent.batch([1])])

    def process(self, messages):
        ahead = Decoder([]).decode(messages) if self.rng.random() < 0.5 else None
        self.sacks += self.make.sacks(self.bench.pipeline.process(messages, ahead))

    def restart(self, *, lose_state=False):
        self.bench.restart(lose_state=lose_state)
        self.bench.pipeline.note_status(self.agent.status())  # retained, so it is there on every connect

    def pick(self, things, *, keep=False):
        index = self.rng.randrange(len(things))
        return things[index] if keep else things.pop(index)

    def step(self, name):
        agent = self.agent
        if name == "make":
            agent.produce(self.rng.randint(1, 12))
        elif name == "send" and agent.owed:
            start = self.rng.randrange(len(agent.owed))
            self.batches.append(agent.batch(agent.owed[start : start + self.rng.randint(1, 10)]))
        elif name == "evict":
            agent.evict(self.rng.randint(1, 4))
        elif name == "status":
            self.bench.pipeline.note_status(agent.status())
        elif name == "restart":
            self.restart()
        elif name == "lose state":
            self.restart(lose_state=True)
            self.lost_state = True
        elif name == "sack" and self.sacks:
            agent.hear(self.pick(self.sacks, keep=self.rng.random() < 0.3))
        elif self.batches:
            self.on_the_network(name)

    def on_the_network(self, name):
        if name == "deliver":
            count = self.rng.randint(1, len(self.batches))
            self.process([self.pick(self.batches) for _ in range(count)])
        elif name == "repeat":
            self.process([self.pick(self.batches, keep=True)] * 2)
        elif name == "drop":
            self.pick(self.batches)
        elif name == "die between":
            self.bench.state.failing = True
            self.process([self.pick(self.batches)])
            self.restart()
            self.died = True
        elif name == "store locked":
            with locked(self.bench.folder / "store.sqlite"):
                self.process([self.pick(self.batches)])
            self.bench.now_s += 1000.0
            self.process([])

    def check(self):
        agent, bench = self.agent, self.bench
        reply = bench.pipeline.ledger(verify=True)
        in_store = set(self.make.stored_seqs(bench.folder))
        assert not in_store & (agent.poison | agent.old)
        for first, last in agent.acknowledged:
            for seq in range(first, last + 1):
                known = seq in in_store | agent.poison | agent.old | agent.told_evicted
                assert known, f"{seq} was acknowledged and is nowhere"
        assert reply.ok, reply.problems
        for row in reply.rows:
            assert row.verified == sum(seq <= row.head for seq in in_store), "what it has not heard of is not asked for"
            if not self.lost_state:
                assert row.stored_on_word == 0
                assert row.stored == len(in_store) or (self.died and row.stored < len(in_store))

    def drain(self):
        for _ in range(100):
            if not self.agent.owed:
                self.died = False
                return
            owed = self.agent.owed
            self.process([self.agent.batch(owed[i : i + 20]) for i in range(0, len(owed), 20)])
            for sack in self.sacks:
                self.agent.hear(sack)
        pytest.fail(f"{len(self.agent.owed)} records were never acknowledged")


@contextlib.contextmanager
def locked(path):
    import sqlite3

    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    yield
    lock.execute("ROLLBACK")
    lock.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(STEPS), min_size=5, max_size=40), st.integers(0, 2**32), st.integers(2, 6))
def test_every_record_is_in_exactly_one_class_whatever_happens(make, new_bench, steps, seed, max_items):
    with tempfile.TemporaryDirectory() as folder:
        bench = new_bench(Path(folder), max_items=max_items)
        world = World(bench, make, seed)
        try:
            for name in steps:
                world.step(name)
                world.check()
            world.drain()
            world.check()
            bench.pipeline.note_status(world.agent.status())
            for row in bench.pipeline.ledger().rows:
                assert (row.head, row.in_spool, row.missing) == (world.agent.head, 0, 0)
        finally:
            bench.stop()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(STEPS), min_size=5, max_size=40), st.integers(0, 2**32), st.integers(2, 6))
def test_two_collectors_that_both_serve_an_agent_account_each_record_once(make, new_pair, steps, seed, max_items):
    with tempfile.TemporaryDirectory() as folder:
        pair = new_pair(Path(folder), max_items, seed)
        world = World(pair, make, seed)
        try:
            for name in steps:
                world.step(name)
                world.check()
            world.drain()
            world.check()
            pair.note_status(world.agent.status())
            for row in pair.ledger().rows:
                assert (row.head, row.in_spool, row.missing) == (world.agent.head, 0, 0)
        finally:
            pair.stop()
