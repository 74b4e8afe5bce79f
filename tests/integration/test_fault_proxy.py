"""The proxy that faults use between two parties: what passes, what does not, and that it cuts."""

import contextlib
import random
import socket
import threading
from collections.abc import Iterator

import pytest
from faults.proxy import Piece, Proxy, Weather, pieces
from hypothesis import given
from hypothesis import strategies as st
from roles import until

CHANCE = random.Random("proxy")
weathers = st.builds(
    Weather, st.sampled_from(["fair", "delay", "throttle", "split", "stall", "cut"]), st.integers(1, 500)
)


@given(weathers, st.binary(min_size=1, max_size=400), st.integers())
def test_every_weather_but_a_tear_keeps_all_bytes_in_order(weather: Weather, data: bytes, seed: int):
    made = list(pieces(weather, data, random.Random(seed)))
    assert b"".join(piece.data for piece in made) == data
    assert not any(piece.last for piece in made)


@given(st.binary(min_size=1, max_size=400), st.integers())
def test_tear_keeps_a_first_part_only_and_is_the_end(data: bytes, seed: int):
    [piece] = pieces(Weather("tear"), data, random.Random(seed))
    assert piece.last
    assert data.startswith(piece.data)
    assert len(piece.data) < len(data)


@given(st.binary(min_size=2, max_size=400), st.integers())
def test_split_makes_two_parts_of_a_packet(data: bytes, seed: int):
    first, second = pieces(Weather("split"), data, random.Random(seed))
    assert first.data
    assert second.data
    assert second.wait_s > 0


def test_throttle_takes_as_long_as_its_rate_says():
    made = list(pieces(Weather("throttle", 1000), bytes(2500), CHANCE))
    assert sum(piece.wait_s for piece in made) == pytest.approx(2.5)


def test_delay_waits_once():
    assert list(pieces(Weather("delay", 250), b"abc", CHANCE)) == [Piece(0.25, b"abc")]


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """In front of a server that answers with what it gets."""
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(server,), name="echo", daemon=True).start()
    running = Proxy(server.getsockname()[1], random.Random("proxy")).start()
    yield running
    running.stop()
    with contextlib.suppress(OSError):
        server.shutdown(socket.SHUT_RDWR)
    server.close()


def serve(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            near, _ = server.accept()
            threading.Thread(target=echo, args=(near,), name="echo-one", daemon=True).start()


def echo(near: socket.socket) -> None:
    with near, contextlib.suppress(OSError):
        while data := near.recv(4096):
            near.sendall(data)


def reach(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), 10)


def answer(client: socket.socket, asked: bytes) -> bytes:
    client.sendall(asked)
    got = b""
    while len(got) < len(asked) and (data := client.recv(4096)):
        got += data
    return got


@pytest.mark.parametrize("kind", ["fair", "delay", "throttle", "split"])
def test_all_comes_back_through_weather_that_only_slows(proxy: Proxy, kind):
    proxy.set_weather(Weather(kind, 20 if kind == "delay" else 20_000))
    text = bytes(range(256)) * 4
    with reach(proxy) as client:
        assert answer(client, text) == text


def test_cut_ends_what_stands_and_lets_nobody_in_until_it_is_over(proxy: Proxy):
    with reach(proxy) as client:
        assert answer(client, b"one") == b"one"
        proxy.set_weather(Weather("cut"))
        assert all_until_the_end(client) == b""
    with reach(proxy) as client:
        assert all_until_the_end(client) == b""
    proxy.set_weather(Weather())
    with reach(proxy) as client:
        assert answer(client, b"two") == b"two"


def test_reset_ends_what_stands_and_lets_the_next_in(proxy: Proxy):
    with reach(proxy) as client:
        assert answer(client, b"one") == b"one"
        proxy.reset()
        assert all_until_the_end(client) == b""
    with reach(proxy) as client:
        assert answer(client, b"two") == b"two"


def test_stalled_bytes_come_once_it_is_over(proxy: Proxy):
    with reach(proxy) as client:
        assert answer(client, b"one") == b"one"
        # The answer is here before it is counted.
        until("question and answer are counted", lambda: proxy.passed_bytes == 6)
        proxy.set_weather(Weather("stall"))
        client.sendall(b"two")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(10)
        assert proxy.passed_bytes == 6
        client.settimeout(10)
        proxy.set_weather(Weather())
        assert client.recv(10) == b"two"


def test_torn_packet_is_the_connections_last(proxy: Proxy):
    with reach(proxy) as client:
        proxy.set_weather(Weather("tear"))
        with contextlib.suppress(ConnectionError):
            client.sendall(bytes(1000))
        assert len(all_until_the_end(client)) < 1000
        until("the proxy has let go", lambda: not proxy._pairs)


def all_until_the_end(client: socket.socket) -> bytes:
    """Reads until the connection ends; a reset is an end too."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while data := client.recv(4096):
            got += data
    return got
