"""The accounts in a real Redis: two collectors at once, one that is late, and a Redis that is away or has forgotten."""

import random
from collections import Counter
from pathlib import Path

import pytest
from redis_server import RedisServer

from tinyprof_collector.config import StateConfig
from tinyprof_collector.ledger import MAX_FORGOTTEN, Ledger, sum_of_classes
from tinyprof_collector.redis_link import CannotUseRedis, RedisLink
from tinyprof_collector.state.redis import RedisState
from tinyprof_collector.state.state import StateFailed, StateLost
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.presence import AgentStatus, EpochOwed

NODE = "lab.pi"
EPOCH = bytes(15) + b"\x01"
PARTITIONS = range(16)


class Collector:
    """A ledger on a state of its own, as the pipeline uses them."""

    def __init__(self, server: RedisServer, name: str, partitions=PARTITIONS, **config: object) -> None:
        self.state = RedisState(RedisLink(StateConfig("redis", server.url, **config)), name, partitions)  # type: ignore[arg-type]
        self.ledger = Ledger(shared=True)
        try:
            self.load()
        except StateFailed:
            self.state.close()
            raise

    def load(self) -> None:
        self.ledger.restore(self.state.load())

    def settle(self, first: int, last: int, outcome: str = "stored", epoch: bytes = EPOCH, node: str = NODE) -> None:
        self.ledger.open(node, epoch).settle(first, last, outcome)  # type: ignore[arg-type]

    def keep(self) -> None:
        changes = self.ledger.changes()
        if changes:
            told = self.state.keep(changes)
            self.ledger.kept()
            self.ledger.adopt(told)

    def look_around(self) -> None:
        self.keep()
        self.ledger.adopt(self.state.look_around())

    def row(self, epoch: bytes = EPOCH):
        [row] = [row for row in self.ledger.rows(NODE) if row.epoch == epoch]
        return row


@pytest.fixture
def make(clean):
    made: list[Collector] = []

    def collector(name: str, partitions=PARTITIONS, **config: object) -> Collector:
        made.append(Collector(clean, name, partitions, **config))
        return made[-1]

    yield collector
    for one in made:
        one.state.close()


def test_what_is_kept_is_there_after_a_start_and_only_for_its_partitions(make):
    one = make("a")
    one.settle(1, 10)
    one.settle(12, 12, "quarantined")
    one.ledger.open(NODE, EPOCH).evict(11, 11, "cap")
    one.ledger.open(NODE, EPOCH).resent += 3
    one.keep()
    again = make("a")
    assert again.ledger.rows() == one.ledger.rows()
    assert (again.row().stored, again.row().evicted, again.row().quarantined, again.row().resent) == (10, 1, 1, 3)
    assert not make("b", [p for p in PARTITIONS if p != partition_of(NODE)]).ledger.rows()


def test_an_owner_that_wakes_late_adds_what_nobody_knew_and_takes_nothing(make):
    late = make("a")
    late.settle(1, 10)
    late.keep()
    late.settle(8, 20)
    late.settle(95, 95)
    newer = make("b")
    newer.settle(11, 90)
    newer.keep()
    late.keep()
    assert (late.row().stored, late.row().head) == (91, 95)
    newer.look_around()
    assert newer.row() == late.row()


def test_a_write_whose_answer_was_lost_is_repeated_and_counts_once(make):
    one = make("a")
    one.settle(1, 10)
    changes = one.ledger.changes()
    one.state.keep(changes)
    one.settle(11, 12)
    one.keep()
    one.look_around()
    assert (one.row().stored, one.row().head) == (12, 12)


def test_somebody_who_writes_in_between_makes_it_begin_again(make, monkeypatch):
    one, other = make("a"), make("b")
    unite = RedisState._unite

    def meanwhile(self, *more):
        unite(self, *more)
        if self is one.state and not other.ledger.rows():
            other.settle(3, 9)
            other.keep()

    monkeypatch.setattr(RedisState, "_unite", meanwhile)
    one.settle(1, 5)
    one.keep()
    assert one.row().stored == 9


def test_who_is_never_alone_with_a_partition_holds(make, monkeypatch):
    one = make("a")
    client = one.state._link.commands
    unite = RedisState._unite

    def meanwhile(self, *more):
        unite(self, *more)
        client.incr(f"tinyprof:{partition_of(NODE)}:revision")

    monkeypatch.setattr(RedisState, "_unite", meanwhile)
    one.settle(1, 5)
    with pytest.raises(StateFailed, match="all the time"):
        one.keep()
    assert "all the time" in (one.state.check() or "")


def test_epochs_go_into_their_nodes_sum_once_whoever_sums_up(make):
    one, other = make("a"), make("b")
    epochs = [number.to_bytes(16, "big") for number in range(1, MAX_FORGOTTEN + 4)]
    for epoch in epochs:
        one.settle(1, 2, epoch=epoch)
    one.keep()
    other.look_around()
    status = AgentStatus(NODE, "online", epochs=[EpochOwed(epochs[-1], 3, 2)])
    one.ledger.note_status(status)
    other.ledger.note_status(status)
    other.settle(3, 3, epoch=epochs[0])  # late, of an epoch that is summed up by then
    one.keep()
    other.keep()
    other.look_around()
    one.look_around()
    for collector in (one, other, make("c")):
        rows = collector.ledger.rows(NODE)
        assert sum(row.head for row in rows) == 2 * len(epochs)
        assert sum(row.stored for row in rows) == 2 * len(epochs)
        assert all(sum_of_classes(row) == row.head for row in rows)


def test_random_histories_of_two_owners_end_in_one_account(make):
    chance = random.Random("two owners")
    one, other = make("a"), make("b")
    written: dict[int, str] = {}
    for _ in range(150):
        collector = chance.choice((one, other))
        first = chance.randint(1, 200)
        last = first + chance.randint(0, 5)
        collector.settle(first, last, chance.choice(("stored", "stored", "expired")))
        if chance.random() < 0.4:
            collector.keep()
            for seq in range(1, 210):
                if seq in collector.ledger.open(NODE, EPOCH).accounted:
                    written.setdefault(seq, collector.state._me)
        if chance.random() < 0.2:
            collector.look_around()
    one.keep()
    other.keep()
    one.look_around()
    assert one.row() == other.row()
    account = one.ledger.open(NODE, EPOCH)
    assert account.adds_up()
    assert set(written) <= {seq for first, last in account.accounted for seq in range(first, last + 1)}
    assert len(Counter(written.values())) == 2


def test_the_newest_claim_on_a_partition_counts(make):
    first = make("a", [0, 1, 2])
    second = make("b", [2, 3])
    first.look_around()
    second.look_around()
    assert (first.state.taken(), second.state.taken()) == ({2: "b"}, {})
    again = make("a", [0, 1, 2])
    again.look_around()
    second.look_around()
    assert (again.state.taken(), second.state.taken()) == ({}, {2: "a"})


def test_who_loads_all_anew_takes_no_partition_from_a_newer_claim(make, clean):
    first, second = make("a", [0, 1, 2]), make("b", [2, 3])
    first.load()  # it was behind by more than is remembered
    first.look_around()
    assert first.state.taken() == {2: "b"}
    with clean.client() as client:
        client.flushall()
    for collector in (second, first):
        collector.state._lost = True
        collector.load()
    first.look_around()
    second.look_around()
    assert (first.state.taken(), second.state.taken()) == ({2: "b"}, {})


def test_two_fleets_share_a_server_by_their_prefixes(make):
    one, other = make("a"), make("a", prefix="other")
    one.settle(1, 5)
    one.keep()
    other.load()
    assert not other.ledger.rows()


def test_a_value_that_cannot_be_read_counts_as_lost(make, clean):
    one = make("a")
    one.settle(1, 5)
    one.keep()
    with clean.client() as client:
        [name] = client.hkeys(f"tinyprof:{partition_of(NODE)}:accounts")
        client.hset(f"tinyprof:{partition_of(NODE)}:accounts", name, b"\xc1")
    assert not make("b").ledger.rows()


def test_keys_of_another_layout_are_left_alone(make, clean):
    make("a")
    with clean.client() as client:
        client.set("tinyprof:layout", "99")
    with pytest.raises(StateFailed, match="another version of tinyprof"):
        make("b")


def test_a_server_that_forgets_by_its_own_policy_is_refused(tmp_path):
    options = ("--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru")
    forgetful = RedisServer(tmp_path, options).start()
    try:
        with pytest.raises(StateFailed, match="allkeys-lru forgets what must be kept: set noeviction"):
            Collector(forgetful, "a")
    finally:
        forgetful.stop()


def test_a_wrong_password_is_one_line_that_shows_none(tmp_path: Path):
    closed = RedisServer(tmp_path, password="right-secret").start()
    try:
        Collector(closed, "a").state.close()
        link = RedisLink(StateConfig("redis", f"redis://:wrong-secret@127.0.0.1:{closed.port}"))
        with pytest.raises(StateFailed, match=r"check the user and the password in state\.url") as raised:
            RedisState(link, "a", PARTITIONS).load()
        link.close()
        assert "secret" not in str(raised.value)
        assert "secret" not in repr(StateConfig("redis", closed.url))
    finally:
        closed.stop()


def test_the_address_comes_from_a_file_and_what_is_wrong_with_it_is_said(tmp_path: Path, clean):
    file = tmp_path / "redis-url"
    file.write_text(f"{clean.url}\nnot read\n")
    link = RedisLink(StateConfig("redis", url_file=str(file)))
    assert link.commands.ping()
    link.close()
    file.write_text("http://somewhere")
    with pytest.raises(CannotUseRedis, match="is no redis:// address"):
        RedisLink(StateConfig("redis", url_file=str(file)))
    with pytest.raises(CannotUseRedis, match="cannot be read"):
        RedisLink(StateConfig("redis", url_file=str(tmp_path / "none")))


@pytest.fixture
def own(tmp_path):
    """A server that may be killed."""
    running = RedisServer(tmp_path).start()
    yield running
    running.stop()


@pytest.fixture
def own_collector(own):
    made: list[Collector] = []

    def collector(name: str, **config: object) -> Collector:
        made.append(Collector(own, name, **config))
        return made[-1]

    yield collector
    for one in made:
        one.state.close()


def test_a_redis_that_is_away_or_frozen_fails_in_time_and_nothing_is_lost_or_counted_twice(own, own_collector):
    one = own_collector("a", timeout_s=0.3)
    one.settle(1, 10)
    one.keep()
    one.settle(11, 20)
    own.freeze()
    with pytest.raises(StateFailed, match=f"redis redis://127.0.0.1:{own.port}"):
        one.keep()
    own.thaw()
    one.keep()
    one.settle(21, 30)
    own.kill()
    with pytest.raises(StateFailed):
        one.keep()
    with pytest.raises(StateFailed):
        one.state.look_around()
    assert one.state.check()
    own.start()
    one.keep()
    one.look_around()
    assert (one.row().stored, one.state.check()) == (30, None)
    assert own_collector("b").row().stored == 30


def test_a_redis_that_has_forgotten_is_noticed_and_the_stores_are_to_be_asked(own, own_collector):
    one = own_collector("a")
    one.settle(1, 10)
    one.ledger.recall(one.ledger.open(NODE, EPOCH), [])
    one.keep()
    with own.client() as client:
        kept = client.dump(f"tinyprof:{partition_of(NODE)}:accounts")
    one.settle(11, 20)
    one.keep()
    one.look_around()
    with own.client() as client:  # back to an older copy of itself
        client.restore(f"tinyprof:{partition_of(NODE)}:accounts", 0, kept, replace=True)
        client.decr(f"tinyprof:{partition_of(NODE)}:revision")
    with pytest.raises(StateLost, match="has lost what it kept"):
        one.state.look_around()
    one.load()
    assert [account.accounted.cum for account in one.ledger.unrecalled()] == [10]
    own.forget()
    own.start()
    one.settle(21, 21)
    with pytest.raises(StateLost):
        one.keep()
    one.load()
    assert not one.ledger.rows()


def test_a_loss_is_noticed_however_much_others_have_kept_since(make, clean):
    one = make("a")
    one.settle(1, 10)
    one.keep()
    with clean.client() as client:
        client.flushall()
    other = make("b")
    for seq in range(1, 6):
        other.settle(seq, seq)
        other.keep()
    one.settle(11, 11)
    with pytest.raises(StateLost, match="has lost what it kept"):
        one.keep()
    with pytest.raises(StateLost):
        one.state.look_around()
    one.load()
    other.look_around()
    assert one.row() == other.row()
