"""Two pipelines of two collectors that both serve everything, on one store and one Redis, as one that is asked."""

import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from redis_server import RedisServer

from tinyprof_collector.config import StateConfig
from tinyprof_collector.decoding import Decoded
from tinyprof_collector.ledger_image import Changes, Told
from tinyprof_collector.pipeline import Pipeline
from tinyprof_collector.quarantine import Quarantine
from tinyprof_collector.redis_link import RedisLink
from tinyprof_collector.state.redis import RedisState
from tinyprof_collector.state.state import StateFailed
from tinyprof_collector.stores.sqlite import SqliteStore
from tinyprof_protocol.connection import Message, Publication
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.requests import LedgerReply

NOW_NS = 1_800_000_000 * 10**9
LATER_S = 20.0


class MortalRedisState(RedisState):
    """Its next writes fail: the collector dies between store and state."""

    failing = False

    def keep(self, changes: Changes) -> Told:
        if self.failing:
            raise StateFailed("state: the connection is gone")
        return super().keep(changes)


class Half:
    """One of the two collectors."""

    def __init__(self, pair: "PairBench", name: str) -> None:
        self.pair, self.name = pair, name
        self.start()

    def start(self) -> None:
        pair = self.pair
        self.store = SqliteStore(
            pair.folder / "store.sqlite", clock=lambda: NOW_NS, monotonic=lambda: pair.now_s, busy_timeout_ms=0
        )
        link = RedisLink(StateConfig("redis", pair.server.url, prefix=pair.prefix))
        self.state = MortalRedisState(link, self.name, range(16))
        self.quarantine = Quarantine(pair.folder / f"{self.name}.sqlite", max_items=pair.max_items)
        self.pipeline = Pipeline(
            [self.store], self.state, self.quarantine, lambda: NOW_NS, monotonic=lambda: pair.now_s
        )
        # Both go on serving everything, as an owner does that has not looked around yet.
        self.state.taken = dict  # type: ignore[method-assign]

    def stop(self) -> None:
        for part in (self.store, self.state, self.quarantine):
            part.close()


class PairBench:
    """What a bench of one pipeline is, with two behind it: whichever chance says gets what comes."""

    numbers = itertools.count()

    def __init__(self, server: RedisServer, folder: Path, max_items: int, seed: int) -> None:
        self.server, self.folder, self.max_items = server, folder, max_items
        self.now_s = 0.0
        self.prefix = f"pair-{next(self.numbers)}"
        self.chance = random.Random(seed)
        self.halves = [Half(self, name) for name in ("a", "b")]
        self.last = self.halves[0]
        self.pipeline = self.state = self
        self.failing = False

    def process(self, messages: Sequence[Message] = (), decoded: Decoded | None = None) -> list[Publication]:
        self.last = self.chance.choice(self.halves)
        self.last.state.failing = self.failing
        return self.last.pipeline.process(messages, decoded)

    def note_status(self, status: AgentStatus) -> None:
        self.chance.choice(self.halves).pipeline.note_status(status)

    def ledger(self, *, verify: bool = False) -> LedgerReply:
        """What both say once they have looked around."""
        for half in (*self.halves, *self.halves, *self.halves):
            self.now_s += LATER_S
            half.pipeline.process()
        one, two = (half.pipeline.ledger(verify=verify) for half in self.halves)
        assert one == two
        return one

    def restart(self, *, lose_state: bool = False) -> None:
        """The one that was asked last dies and starts again; a state that is lost is so for both."""
        self.failing = False
        if lose_state:
            with self.server.client() as client:
                client.flushall()
        self.last.stop()
        self.last.start()

    def stop(self) -> None:
        for half in self.halves:
            half.stop()


@pytest.fixture(scope="session")
def new_pair(tmp_path_factory: pytest.TempPathFactory):
    """Makes pairs, for tests that make many."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), ("--appendonly", "yes", "--appendfsync", "no")).start()
    yield lambda folder, max_items, seed: PairBench(server, folder, max_items, seed)
    server.stop()
