"""A list that is decoded while the one before is being written: nothing of it counts before its turn."""

import threading
import time

import pytest

from tinyprof_collector.ahead import Ahead
from tinyprof_collector.decoding import Decoder
from tinyprof_collector.feed import Feed
from tinyprof_collector.inbox import Inbox
from tinyprof_collector.pipeline_thread import PipelineThread
from tinyprof_collector.sack_lag import SackLag
from tinyprof_collector.stores.store import StoreFailed
from tinyprof_protocol.connection import Message
from tinyprof_protocol.requests import QuarantineRequest

WAIT_S = 20.0
ALL = 100


class Network:
    """Holds each write of a store until it is let through, and can make one fail."""

    def __init__(self, store) -> None:
        self.under_way, self.let_through = threading.Event(), threading.Event()
        self.fails = False
        self.given = []
        """Seqs that the store was asked to write: a server overwrites what comes twice, and calls it stored."""
        self._write = store.write
        store.write = self.write

    def write(self, arrivals):
        self.under_way.set()
        assert self.let_through.wait(WAIT_S)
        if self.fails:
            raise StoreFailed("the server is away")
        self.given += [arrival.seq for arrival in arrivals]
        return self._write(arrivals)


class Way:
    """The inbox, the feed with a list ahead, and a bench's pipeline; a full list waits as soon as anything does."""

    def __init__(self, bench) -> None:
        self.bench = bench
        self.inbox = Inbox(gather_s=0.0)
        self.decoded = threading.Semaphore(0)
        self.decoder = Decoder([bench.store])
        self.ahead = Ahead(self.inbox, self._decode, lambda: len(self.inbox) > 0, ALL)
        self.sent = []
        lag = SackLag(time.monotonic)
        self.feed = Feed(self.inbox, bench.pipeline, lag, self._publish, self.ahead)

    def _decode(self, messages):
        decoded = self.decoder.decode(messages)
        self.decoded.release()
        return decoded

    def _publish(self, sack):
        self.sent.append(sack)
        return 1

    def turn(self):
        """What the pipeline's thread does for a list."""
        return self.feed.process(self.ahead.take(ALL, 0.0))

    def thread(self) -> PipelineThread:
        return PipelineThread(
            self.ahead, self.feed.process, self.feed.publish_sack, lambda: None, take_batches=ALL,
            refresh_interval_s=10.0, monotonic_s=time.monotonic,
            holding=lambda: self.bench.pipeline.holding is not None,
        )  # fmt: skip


@pytest.fixture
def way(bench):
    way = Way(bench)
    yield way
    way.ahead.stop()


def row(bench):
    (only,) = bench.pipeline.ledger(verify=True).rows
    return only


def ahead_of(way, network, first, *second):
    """The first list is being written, and the second one is decoded meanwhile; then it goes on."""
    way.feed.put(first)
    sacks = []
    messages = way.ahead.take(ALL, 0.0)
    for message in second:
        way.feed.put(message)
    writing = threading.Thread(target=lambda: sacks.extend(way.feed.process(messages)))
    writing.start()
    assert network.under_way.wait(WAIT_S)
    assert way.decoded.acquire(timeout=WAIT_S), "nothing is decoded while a list is being written"
    assert (sacks, way.sent) == ([], [])
    network.let_through.set()
    writing.join(WAIT_S)
    return sacks


def test_a_duplicate_of_the_list_that_is_being_written_is_stored_told_and_counted_once(way, bench, make):
    network = Network(bench.store)
    first, second = make.batch_message(range(1, 11)), make.batch_message(range(6, 16))
    assert make.acknowledged(ahead_of(way, network, first, second)).pairs() == [(1, 10)]
    assert [arrival.seq for arrival in bench.stored] == list(range(1, 11)), "told before it was stored"
    assert make.acknowledged(way.turn()).pairs() == [(1, 15)]
    assert [arrival.seq for arrival in bench.stored] == list(range(1, 16))
    assert network.given == list(range(1, 16)), "a duplicate was written again"
    assert (row(bench).stored, row(bench).resent) == (15, 5)
    assert make.stored_seqs(bench.folder) == list(range(1, 16))
    assert bench.pipeline.ledger(verify=True).ok


def test_a_list_that_is_new_is_not_decoded_again(way, bench, make, monkeypatch):
    network = Network(bench.store)
    ahead_of(way, network, make.batch_message(range(1, 11)), make.batch_message(range(11, 21)))

    def again(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr("tinyprof_collector.judging.open_batch", again)
    monkeypatch.setattr("tinyprof_collector.judging.arrivals_of", again)
    assert make.acknowledged(way.turn()).pairs() == [(1, 20)]
    assert row(bench).stored == 20


def test_nothing_of_a_list_ahead_is_acknowledged_while_the_store_is_away(way, bench, make):
    network = Network(bench.store)
    network.fails = True
    first, second = make.batch_message(range(1, 11)), make.batch_message(range(1, 21))
    assert ahead_of(way, network, first, second) == []
    assert (bench.pipeline.waiting(), way.ahead.waiting(), way.feed.backlog()) == (1, 1, 2)
    way.feed.put(make.batch_message(range(21, 31)))
    bench.now_s += 60.0
    assert way.feed.process([]) == []
    assert (way.ahead.waiting(), len(way.inbox)) == (1, 1), "more than one list was taken ahead"
    network.fails = False
    bench.now_s += 60.0
    assert make.acknowledged(way.feed.process([])).pairs() == [(1, 10)]
    assert make.acknowledged(way.turn()).pairs() == [(1, 20)]
    assert make.acknowledged(way.turn()).pairs() == [(1, 30)]
    assert (row(bench).stored, row(bench).resent) == (30, 10)
    assert make.stored_seqs(bench.folder) == list(range(1, 31))


def test_what_is_poison_is_put_away_once_and_its_neighbours_are_stored(way, bench, make):
    network = Network(bench.store)
    second = make.batch_message(range(1, 9), poison=[7])
    nonsense = Message("nonsense", b"", False, None, None)
    ahead_of(way, network, make.batch_message([1]), nonsense, second)
    sacks = way.turn()
    assert make.acknowledged(sacks).pairs() == [(1, 8)]
    assert (row(bench).stored, row(bench).quarantined) == (7, 1)
    assert bench.pipeline.quarantine_reply(QuarantineRequest("list")).total == 2


def test_a_list_at_which_decoding_ahead_fails_is_decoded_in_its_turn(way, bench, make):
    network = Network(bench.store)

    def fails(_):
        way.decoded.release()
        raise RuntimeError("a defect")

    way.decoder.decode = fails
    ahead_of(way, network, make.batch_message([1]), make.batch_message([2]))
    assert make.acknowledged(way.turn()).pairs() == [(1, 2)]


def test_a_thread_that_is_stopped_works_off_the_list_ahead_too(way, bench, make):
    network = Network(bench.store)
    thread = way.thread()
    way.feed.put(make.batch_message([1]))
    thread.start()
    assert network.under_way.wait(WAIT_S)
    way.feed.put(make.batch_message([2]))
    way.ahead.begin()
    network.let_through.set()
    assert thread.stop(WAIT_S)
    assert make.acknowledged(way.sent).pairs() == [(1, 2)]
    assert len(way.ahead) == 0


def test_a_short_list_is_left_to_grow_meanwhile(bench, make):
    inbox = Inbox(gather_s=0.0)
    ahead = Ahead(inbox, Decoder([bench.store]).decode, inbox.has_full_list, ALL)
    inbox.put(make.batch_message([1]))
    ahead.begin()
    assert (ahead.waiting(), len(inbox)) == (0, 1)
    ahead.stop()
