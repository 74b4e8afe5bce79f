"""What must not end the connection's thread, or keep it alive: a broker that is silent, a stop at a bad moment."""

import contextlib
import queue
import socket
import threading

from tinyprof_protocol.broker_address import BrokerAddress, parse_broker
from tinyprof_protocol.connection import Connection, Hooks, Publication, Published
from tinyprof_protocol.network_loop import NetworkLoop
from tinyprof_protocol.reconnect import Reconnect

PATIENCE_S = 20
CONNACK = b"\x20\x03\x00\x00\x00"


class Quick(Reconnect):
    """Connects again at once."""

    def _backoff(self) -> float:
        return 0.05


class MuteBroker:
    """Takes connections and acknowledges each CONNECT; it answers nothing else."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.connects: queue.Queue[int] = queue.Queue()
        self._peers: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer = self._server.accept()[0]
                self._peers.append(peer)
                peer.settimeout(PATIENCE_S)
                peer.recv(1000)
                peer.sendall(CONNACK)
                self.connects.put(len(self._peers))

    def close(self) -> None:
        # A close alone leaves the thread in its accept(), and with it whoever connects just now.
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE_S)
        for one in (self._server, *self._peers):
            one.close()


class SlowToReach(BrokerAddress):
    """A broker whose name takes its time to be looked up."""

    asked = threading.Event()
    go = threading.Event()

    def __getattribute__(self, name: str) -> object:
        if name == "host":
            self.asked.set()
            self.go.wait(PATIENCE_S)
        return super().__getattribute__(name)


def test_a_broker_that_does_not_answer_the_subscription_is_left_and_tried_again():
    broker = MuteBroker()
    connection = Connection(
        parse_broker(f"mqtt://127.0.0.1:{broker.port}"), "site.agent", Hooks(), subscriptions=[("a/b", 1)],
        reconnect=Quick(), connect_timeout_s=0.2,
    )  # fmt: skip
    connection.start()
    try:
        assert [broker.connects.get(timeout=PATIENCE_S) for _ in range(3)] == [1, 2, 3]
        assert "does not answer the subscription" in connection.state.error
    finally:
        connection.stop()
        broker.close()


def test_a_certificate_file_that_is_not_there_is_an_error_that_is_tried_again(tmp_path):
    tried: queue.Queue[int] = queue.Queue()

    class Counted(Reconnect):
        def after_failure(self) -> float:
            tried.put(1)
            return 0.01

    address = BrokerAddress("127.0.0.1", 1, tls=True, ca_file=tmp_path / "none.pem")
    connection = Connection(address, "site.agent", Hooks(), reconnect=Counted())
    connection.start()
    try:
        assert sum(tried.get(timeout=PATIENCE_S) for _ in range(3)) == 3
        assert f"the certificates in {tmp_path / 'none.pem'} cannot be used" in connection.state.error
    finally:
        connection.stop()


def test_a_stop_while_the_broker_is_being_reached_leaves_no_connection_behind():
    broker = MuteBroker()
    address = SlowToReach("127.0.0.1", broker.port)
    connection = Connection(address, "site.agent", Hooks())
    connection.start()
    assert address.asked.wait(PATIENCE_S)
    connection.stop(timeout_s=0.1)
    address.go.set()
    connection.stop(timeout_s=PATIENCE_S)
    ended = [thread for thread in threading.enumerate() if thread.name == "mqtt-site.agent"] == []
    broker.close()
    assert ended


def test_no_more_is_under_way_than_the_broker_will_receive():
    server = socket.create_server(("127.0.0.1", 0))
    up = threading.Event()
    connection = Connection(
        BrokerAddress("127.0.0.1", server.getsockname()[1]), "site.agent", Hooks(on_connected=up.set)
    )
    connection.start()
    peer = server.accept()[0]
    try:
        peer.settimeout(PATIENCE_S)
        peer.recv(1000)
        peer.sendall(b"\x20\x06\x00\x00\x03\x21\x00\x02")  # receive maximum: 2
        assert up.wait(PATIENCE_S)
        for number in range(5):
            assert connection.publish(Publication("a", b"message %d" % number)) is not None
        assert connection.publish(Publication("a", b"end", qos=0)) is not None  # not counted by the broker: comes last
        received = b""
        while b"end" not in received:
            received += peer.recv(1000)
        assert received.count(b"message") == 2
    finally:
        connection.stop(timeout_s=0.1)
        peer.close()
        server.close()


def test_a_machine_without_room_for_a_connection_is_tried_again(monkeypatch):
    made = iter([OSError(24, "Too many open files"), None])

    def loop_or_not(*arguments):
        why = next(made)
        if why is not None:
            raise why
        return NetworkLoop(*arguments)

    monkeypatch.setattr("tinyprof_protocol.connection.NetworkLoop", loop_or_not)
    broker, up = MuteBroker(), threading.Event()
    connection = Connection(
        BrokerAddress("127.0.0.1", broker.port), "site.agent", Hooks(on_connected=up.set), reconnect=Quick()
    )
    connection.start()
    try:
        assert up.wait(PATIENCE_S)
        assert not connection.died()
    finally:
        connection.stop(timeout_s=0.1)
        broker.close()
    assert not connection.died()


def test_what_no_broker_acknowledges_leaves_nothing_behind_that_acknowledges_another():
    server = socket.create_server(("127.0.0.1", 0))
    up = threading.Event()
    told: queue.Queue[Published] = queue.Queue()
    hooks = Hooks(on_connected=up.set, on_published=told.put)
    connection = Connection(BrokerAddress("127.0.0.1", server.getsockname()[1]), "site.agent", hooks)
    connection.start()
    peer = server.accept()[0]
    try:
        peer.settimeout(PATIENCE_S)
        peer.recv(1000)
        peer.sendall(CONNACK)
        assert up.wait(PATIENCE_S)
        client = connection._client
        for number in range(2):
            assert connection.publish(Publication("a", b"unanswered", qos=0)) is not None
            received = b""
            while b"unanswered" not in received:
                received += peer.recv(1000)
            # Message ids are used again after 65,535: let it be now.
            client._last_mid = 0
            token = connection.publish(Publication("a", b"record %d" % number))
            while b"record" not in received:
                received += peer.recv(1000)
            peer.sendall(b"\x40\x03\x00\x01\x87")  # PUBACK of message 1: not authorised
            assert told.get(timeout=PATIENCE_S) == Published(token, "refused", "Not authorized")
            client._last_mid = 0
    finally:
        connection.stop(timeout_s=0.1)
        peer.close()
        server.close()
