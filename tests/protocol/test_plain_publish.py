"""A PUBLISH read without paho's table of properties says what paho says of it, or is left to paho."""

import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tinyprof_protocol.mqtt_messages import Message
from tinyprof_protocol.network_loop import RECEIVED_BYTES, BufferedClient, plain_publish

MQTT_5 = 5


def publish(topic: bytes, payload: bytes, quality: int = 1, packet_id: int = 7, properties: bytes = b"\0") -> bytearray:
    """A PUBLISH without its fixed header."""
    head = struct.pack("!H", len(topic)) + topic + (struct.pack("!H", packet_id) if quality else b"")
    return bytearray(head + properties + payload)


def packed(**given_properties: object) -> bytes:
    properties = Properties(PacketTypes.PUBLISH)
    for name, value in given_properties.items():
        setattr(properties, name, value)
    return properties.pack()


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40), st.binary(max_size=300),
    st.integers(0, 1), st.integers(1, 65535), st.none() | st.integers(0, 2**32 - 1), st.booleans(),
)  # fmt: skip
def test_a_plain_message_is_read_as_it_was_sent(topic, payload, quality, packet_id, expiry, retain):
    properties = b"\0" if expiry is None else packed(MessageExpiryInterval=expiry)
    header = 0x30 | quality << 1 | retain
    found = plain_publish(header, publish(topic.encode(), payload, quality, packet_id, properties))
    assert found == (Message(topic, payload, retain, None, None), packet_id if quality else 0)


@pytest.mark.parametrize(
    ("header", "packet"),
    [
        (0x34, publish(b"t", b"", 2)),
        (0x32, publish(b"t", b"x", properties=packed(ResponseTopic="r", CorrelationData=b"c"))),
        (0x32, publish(b"t", b"x", properties=packed(UserProperty=("a", "b")))),
        (0x32, publish(b"t", b"x", packet_id=0)), (0x32, publish(b"", b"x")), (0x32, publish(b"\xff", b"x")),
        (0x32, publish(b"t", b"", properties=b"\5\2\0")), (0x30, bytearray()), (0x30, bytearray(b"\0")),
        (0x32, bytearray(b"\0\1t\0")), (0x30, bytearray(b"\0\1t")),
    ],
)  # fmt: skip
def test_any_other_is_left_to_paho(header, packet):
    assert plain_publish(header, packet) is None


@given(st.integers(0x30, 0x3F), st.binary(max_size=80))
def test_whatever_comes_never_fails(header, packet):
    found = plain_publish(header, packet)
    assert found is None or len(found[0].payload) <= len(packet)


class Served:
    """A client on one end of a pair of sockets, already past its CONNACK."""

    def __init__(self) -> None:
        self.ours, self.client = socket.socketpair()
        self.ours.setblocking(False)
        self.paho = BufferedClient(CallbackAPIVersion.VERSION2, client_id="c", protocol=MQTT_5)
        self.paho._sock = self.ours
        self.plain: list[Message] = []
        self.other: list[str] = []
        self.paho.on_plain = self.plain.append
        self.paho.on_message = lambda _c, _d, message: self.other.append(message.topic)
        self.paho.on_socket_register_write = lambda *_: None

    def close(self) -> None:
        self.ours.close()
        self.client.close()


@pytest.fixture
def served():
    made = Served()
    yield made
    made.close()


def test_many_packets_of_one_read_are_all_handed_over_and_acknowledged(served):
    plain, rest = publish(b"a", b"x" * 50), publish(b"b", b"y", properties=packed(ResponseTopic="r"))
    for packet in (plain, rest, plain):
        served.client.send(bytes((0x32, len(packet))) + packet)
    for left in (True, True, False):
        assert served.paho.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS
        assert served.paho.buffered() is left
    assert [message.payload for message in served.plain] == [b"x" * 50] * 2
    assert served.other == ["b"]
    while served.paho.want_write():
        served.paho.loop_write()
    assert served.client.recv(64).count(b"\x40\x02\x00\x07") == 3


def test_a_packet_that_comes_in_pieces_or_is_larger_than_a_read_is_put_together(served):
    payload = bytes(range(256)) * (2 * RECEIVED_BYTES // 256)
    packet = publish(b"a", payload)
    length, digits = len(packet), bytearray()
    while length:
        length, digit = divmod(length, 128)
        digits.append(digit | (0x80 if length else 0))
    threading.Thread(target=served.client.sendall, args=(b"\x32" + digits + packet,)).start()
    served.ours.setblocking(True)
    while not served.plain:
        assert served.paho.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS
    assert served.plain[0].payload == payload
    assert not served.paho.buffered()
