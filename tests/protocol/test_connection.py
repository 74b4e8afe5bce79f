"""The connection against a real broker that is killed and comes back."""

import queue
import random
import threading
import time

import pytest

from tinyprof.embedded_broker import EmbeddedBroker
from tinyprof_protocol.broker_address import parse_broker
from tinyprof_protocol.connection import Connection, Hooks, Message, Publication, Published
from tinyprof_protocol.reconnect import CLASH_WAIT_S, LONGEST_DELAY_S, Reconnect

PATIENCE_S = 20


class Quick(Reconnect):
    """Connects again at once; the delays themselves are tested as pure decisions below."""

    def _backoff(self) -> float:
        return 0.05


class Peer:
    """A connection whose hooks write down what they are told."""

    def __init__(self, broker, client_id, subscriptions=(), **options):
        self.messages: queue.Queue[Message] = queue.Queue()
        self.published: queue.Queue[Published] = queue.Queue()
        self.connected: queue.Queue[bool] = queue.Queue()
        self.lost: queue.Queue[str] = queue.Queue()
        hooks = Hooks(self.messages.put, lambda: self.connected.put(True), self.lost.put, self.published.put)
        self.connection = Connection(
            parse_broker(broker.url), client_id, hooks, subscriptions=subscriptions, reconnect=Quick(), **options
        )
        self.connection.start()

    def __enter__(self):
        self.connected.get(timeout=PATIENCE_S)
        return self

    def __exit__(self, *_):
        self.connection.stop()


@pytest.fixture
def broker():
    with EmbeddedBroker() as broker:
        yield broker


def test_messages_arrive_with_their_properties_and_are_acknowledged(broker):
    with Peer(broker, "site.agent", [("a/+", 1)]) as peer:
        token = peer.connection.publish(
            Publication("a/b", b"x" * 200_000, response_topic="r", correlation=b"12", expiry_s=60)
        )
        message = peer.messages.get(timeout=PATIENCE_S)
        assert (message.topic, len(message.payload), message.response_topic, message.correlation) == (
            "a/b",
            200_000,
            "r",
            b"12",
        )
        assert peer.published.get(timeout=PATIENCE_S) == Published(token, "acknowledged")


def test_after_a_broker_that_was_killed_it_subscribes_anew(broker):
    with Peer(broker, "site.agent", [("a/+", 1)]) as peer:
        broker.kill()
        assert "lost" in peer.lost.get(timeout=PATIENCE_S)
        assert peer.connection.publish(Publication("a/b", b"1")) is None
        assert peer.connection.state.counts["not_sent"] == 1
        with EmbeddedBroker(broker.port):
            peer.connected.get(timeout=PATIENCE_S)
            assert peer.connection.publish(Publication("a/b", b"2")) is not None
            assert peer.messages.get(timeout=PATIENCE_S).payload == b"2"


def test_the_will_is_told_when_a_client_dies(broker):
    will = Publication("will", b"gone", 1, True)
    with Peer(broker, "watcher", [("will", 1)]) as watcher, Peer(broker, "site.agent", will=will) as peer:
        peer.connection._client.socket().close()
        assert watcher.messages.get(timeout=PATIENCE_S).payload == b"gone"


def test_a_callback_that_fails_is_counted_and_the_connection_lives(broker):
    seen = threading.Event()

    def fail(message):
        if message.payload == b"2":
            seen.set()
        raise RuntimeError("on purpose")

    up = threading.Event()
    connection = Connection(parse_broker(broker.url), "site.agent", Hooks(fail, up.set), subscriptions=[("a", 1)])
    connection.start()
    assert up.wait(PATIENCE_S)
    connection.publish(Publication("a", b"1"))
    connection.publish(Publication("a", b"2"))
    assert seen.wait(PATIENCE_S)
    connection.stop()
    assert connection.state.counts["callback_errors"] == 2


def test_an_owner_may_publish_while_it_is_told_of_another_publication(broker):
    chain: queue.Queue[str] = queue.Queue()
    up = threading.Event()

    def next_one(published):
        chain.put(published.outcome)
        if chain.qsize() < 5:
            connection.publish(Publication("a", b"x"))

    connection = Connection(parse_broker(broker.url), "site.agent", Hooks(on_connected=up.set, on_published=next_one))
    connection.start()
    assert up.wait(PATIENCE_S)
    connection.publish(Publication("a", b"x"))
    assert [chain.get(timeout=PATIENCE_S) for _ in range(5)] == ["acknowledged"] * 5
    connection.stop()


def test_no_broker_is_one_line_that_names_it(caplog):
    caplog.set_level("WARNING", logger="tinyprof_protocol")
    connection = Connection(parse_broker("mqtt://127.0.0.1:1"), "site.agent", Hooks(), reconnect=Quick())
    connection.start()
    deadline = time.monotonic() + PATIENCE_S
    while connection.state.attempts < 3 and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    connection.stop()
    assert connection.state.attempts >= 3
    assert connection.state.error == "no broker at mqtt://127.0.0.1:1 (connection refused)"
    (said,) = [record.getMessage() for record in caplog.records if "no broker" in record.getMessage()]
    assert "start one there" in said


def test_delays_double_with_jitter_up_to_a_bound():
    reconnect = Reconnect(random.Random(1))
    waits = [reconnect.after_failure() for _ in range(20)]
    assert all(0.5 * LONGEST_DELAY_S <= wait <= LONGEST_DELAY_S for wait in waits[8:])
    assert waits[0] <= 1.0
    assert reconnect.after_loss(100.0) <= 1.0


def test_three_short_connections_in_a_row_mean_a_clash_of_names():
    reconnect = Reconnect(random.Random(1))
    assert reconnect.after_loss(1.0) < 5
    assert reconnect.after_loss(4.9) < 5
    assert reconnect.after_loss(0.1) == CLASH_WAIT_S
    assert reconnect.clash
    reconnect.lived_long()
    assert not reconnect.clash
    for between in (lambda: reconnect.after_loss(6.0), reconnect.after_failure):
        reconnect.after_loss(1.0)
        reconnect.after_loss(1.0)
        between()
        reconnect.after_loss(1.0)
        assert not reconnect.clash
