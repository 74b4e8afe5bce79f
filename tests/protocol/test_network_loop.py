"""The loop that serves a client's socket: what it reads and writes in one turn, and what ends its wait."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from paho.mqtt.enums import MQTTErrorCode

from tinyprof_protocol.network_loop import READS_AT_ONCE, NetworkLoop

SUCCESS = MQTTErrorCode.MQTT_ERR_SUCCESS
LONG_S = 60.0
"""A wait that no test would sit through."""


class FakeClient:
    """A client with paho's interface for event loops: each byte on its socket is a packet, answered with one byte."""

    def __init__(self) -> None:
        self.opened, self.broker = socket.socketpair()
        self.opened.setblocking(False)
        self.unwritten = 0
        self.came = 0
        self.done: list[str] = []
        self.ends_with = SUCCESS

    def socket(self) -> socket.socket | None:
        return self.opened if self.opened.fileno() >= 0 else None

    def want_write(self) -> bool:
        return self.unwritten > 0

    def loop_read(self) -> MQTTErrorCode:
        with contextlib.suppress(BlockingIOError):
            self.opened.recv(1)
            self.came += 1
            self.unwritten += 1
            self.done.append("read")
        return self.ends_with

    def loop_write(self) -> MQTTErrorCode:
        self.done.append("write")
        self.opened.send(b"a" * self.unwritten)
        self.unwritten = 0
        return SUCCESS

    def loop_misc(self) -> MQTTErrorCode:
        self.done.append("misc")
        return SUCCESS


@pytest.fixture
def client() -> Iterator[FakeClient]:
    fake = FakeClient()
    yield fake
    fake.opened.close()
    fake.broker.close()


@pytest.fixture
def loop(client: FakeClient) -> Iterator[NetworkLoop]:
    with contextlib.closing(NetworkLoop(lambda: client.came)) as made:
        yield made


def elsewhere(what: "threading.Thread") -> None:
    what.start()
    what.join()


def test_all_that_came_is_read_before_the_answers_are_written_once(client: FakeClient, loop: NetworkLoop) -> None:
    client.broker.send(b"ppp")
    assert loop.turn(client, LONG_S) == SUCCESS  # type: ignore[arg-type]
    assert client.done == ["read", "read", "read", "write", "misc"]
    assert client.broker.recv(16) == b"aaa"


def test_a_flood_is_answered_after_a_bounded_number_of_reads(client: FakeClient, loop: NetworkLoop) -> None:
    client.broker.send(b"p" * (READS_AT_ONCE + 5))
    loop.turn(client, LONG_S)  # type: ignore[arg-type]
    assert client.done == ["read"] * READS_AT_ONCE + ["write", "misc"]
    loop.turn(client, LONG_S)  # type: ignore[arg-type]
    assert client.came == READS_AT_ONCE + 5


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="this system has no such option")
@pytest.mark.parametrize("answered", [True, False])
def test_what_has_no_answer_is_acknowledged_at_once_by_the_system(answered: bool) -> None:
    """A broker that gathers small packets waits for that; else 40 ms go by for each message."""
    options: list[tuple[int, int, int]] = []

    class Quiet(FakeClient):
        def socket(self) -> socket.socket | None:
            outer = self

            class Recording:
                def fileno(self) -> int:
                    return outer.opened.fileno()

                def setsockopt(self, *option: int) -> None:
                    options.append(option)  # type: ignore[arg-type]

            return Recording()  # type: ignore[return-value]

        def loop_read(self) -> MQTTErrorCode:
            code = super().loop_read()
            self.unwritten *= answered
            return code

    client = Quiet()
    loop = NetworkLoop(lambda: client.came)
    client.broker.send(b"p")
    loop.turn(client, LONG_S)  # type: ignore[arg-type]
    at_once = (socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    assert (at_once in options) == (not answered)
    options.clear()
    loop.turn(client, 0.0)  # type: ignore[arg-type]
    assert options == []
    for each in (loop, client.opened, client.broker):
        each.close()  # type: ignore[attr-defined]


def test_what_another_thread_publishes_ends_the_wait(client: FakeClient, loop: NetworkLoop) -> None:
    def publish() -> None:
        client.unwritten = 1
        loop.wake()

    publisher = threading.Timer(0.05, publish)
    began = time.monotonic()
    publisher.start()
    assert loop.turn(client, LONG_S) == SUCCESS  # type: ignore[arg-type]
    assert time.monotonic() - began < LONG_S / 2
    assert client.done == ["write", "misc"]
    publisher.join()


def test_wakes_are_used_up_and_ones_own_thread_needs_none(client: FakeClient, loop: NetworkLoop) -> None:
    for _ in range(3):
        elsewhere(threading.Thread(target=loop.wake))
    loop.turn(client, LONG_S)  # type: ignore[arg-type]
    loop.wake()
    began = time.monotonic()
    loop.turn(client, 0.05)  # type: ignore[arg-type]
    assert time.monotonic() - began >= 0.04, "a wake was left over"


def test_more_wakes_than_a_pipe_holds_neither_block_nor_fail(client: FakeClient, loop: NetworkLoop) -> None:
    def often() -> None:
        for _ in range(100_000):
            loop.wake()

    elsewhere(threading.Thread(target=often))
    assert loop.turn(client, LONG_S) == SUCCESS  # type: ignore[arg-type]


def test_a_wake_after_the_end_is_nothing(client: FakeClient) -> None:
    loop = NetworkLoop(lambda: client.came)
    loop.close()
    failed: list[OSError] = []

    def wake() -> None:
        try:
            loop.wake()
        except OSError as why:
            failed.append(why)

    elsewhere(threading.Thread(target=wake))
    assert not failed


def test_what_paho_reports_ends_the_turn(client: FakeClient, loop: NetworkLoop) -> None:
    client.ends_with = MQTTErrorCode.MQTT_ERR_CONN_LOST
    client.broker.send(b"p")
    assert loop.turn(client, LONG_S) == MQTTErrorCode.MQTT_ERR_CONN_LOST  # type: ignore[arg-type]
    assert client.done == ["read"]


def test_a_client_without_a_socket_has_ended(client: FakeClient, loop: NetworkLoop) -> None:
    client.opened.close()
    assert loop.turn(client, LONG_S) == MQTTErrorCode.MQTT_ERR_NO_CONN  # type: ignore[arg-type]


def test_what_is_decrypted_already_is_not_waited_for() -> None:
    class Decrypted(FakeClient):
        def socket(self) -> socket.socket | None:
            outer = self

            class Pending:
                def fileno(self) -> int:
                    return outer.opened.fileno()

                def pending(self) -> int:
                    return 1 - min(1, outer.came)

                def setsockopt(self, *_: object) -> None:
                    pass

            return Pending()  # type: ignore[return-value]

        def loop_read(self) -> MQTTErrorCode:
            self.came += 1 if not self.came else 0
            return SUCCESS

    tls = Decrypted()
    began = time.monotonic()
    with contextlib.closing(NetworkLoop(lambda: tls.came)) as made:
        made.turn(tls, LONG_S)  # type: ignore[arg-type]
    assert tls.came == 1
    assert time.monotonic() - began < LONG_S / 2
    tls.opened.close()
    tls.broker.close()
