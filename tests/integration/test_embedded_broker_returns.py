"""The embedded broker lives on when clients with a last will are cut off and return at once under the same name."""

import socket
import struct
import threading
from contextlib import suppress

from tinyprof_protocol.broker_address import parse_broker
from tinyprof_protocol.connection import Connection, Hooks

TRIES, AT_ONCE = 60, 4


def connect_packet(name: bytes) -> bytes:
    """An MQTT 5 CONNECT with a clean start and a will."""

    def string(text: bytes) -> bytes:
        return struct.pack(">H", len(text)) + text

    no_properties = b"\x00"
    body = string(b"MQTT") + b"\x05\x06" + struct.pack(">H", 5) + no_properties + string(name)
    body += no_properties + string(b"test/will") + string(b"gone")
    return b"\x10" + bytes([len(body)]) + body


def connect_and_be_cut(port: int) -> None:
    """Every other time the broker may answer first."""
    for number in range(TRIES):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as client:
            client.settimeout(0.05)
            client.sendall(connect_packet(b"same"))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if number % 2:
                client.recv(100)


def test_clients_that_are_cut_and_return_do_not_end_the_broker_for_all(broker):
    process = broker.process
    crowd = [threading.Thread(target=connect_and_be_cut, args=(broker.port,), name=f"cut-{n}") for n in range(AT_ONCE)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    connected = threading.Event()
    client = Connection(parse_broker(broker.url), "somebody", Hooks(on_connected=connected.set))
    client.start()
    try:
        assert connected.wait(30), "the broker takes nobody any more"
    finally:
        client.stop()
    assert broker.process is process
    assert process.poll() is None, "it is still the process that was started"
