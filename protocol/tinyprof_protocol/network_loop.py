"""Serves a paho client's socket, many packets at a time.

paho's own `loop()` waits, reads one packet and answers it, then begins anew; where thousands of small messages come,
that is most of the work. Here, through paho's interface for event loops, all that has come is read before the answers
are written, and the answers leave together.
"""

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

from tinyprof_protocol.mqtt_messages import Message

READS_AT_ONCE = 64
"""Packets read before the answers to them are written."""
RECEIVED_BYTES = 64 * 1024
"""Asked of the system at once; paho alone asks four times or more for each packet."""

_EXPIRY, _EXPIRY_BYTES = 2, 5
"""The property Message Expiry Interval, and what it takes; the broker counts it, not who receives the message."""
_CORK = getattr(socket, "TCP_CORK", None)
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)


def plain_publish(header: int, packet: bytes | bytearray) -> tuple[Message, int] | None:
    """The message of an MQTT 5 PUBLISH of quality 0 or 1 without properties that matter, and its packet id (0: none).

    None for any other, and for one that is not well formed: paho says what is wrong with it. Source: MQTT 5.0, 3.3.
    """
    quality = header >> 1 & 3
    try:
        at = 2 + (packet[0] << 8 | packet[1])
        topic = packet[2:at].decode()
        packet_id = packet[at] << 8 | packet[at + 1] if quality else 0
        at += 2 if quality else 0
        properties = packet[at]
        alone = properties == 0 or (properties == _EXPIRY_BYTES and packet[at + 1] == _EXPIRY)
        at += 1 + properties
    except (IndexError, UnicodeDecodeError):
        return None
    if quality > 1 or not alone or not topic or bool(quality) != bool(packet_id) or at > len(packet):
        return None
    return Message(topic, bytes(packet[at:]), bool(header & 1), None, None), packet_id


class BufferedClient(paho.Client):
    """A paho client for `NetworkLoop`: takes from the system all that has come, and gives it to paho piece by piece.

    Most messages are plain (see `plain_publish`): with `on_plain` set these go there at once. paho would make a table
    of all properties for each, which is most of what it does for a message. Where a paho is built otherwise than these
    overrides know, they leave all to it.
    """

    _came = b""
    _at = 0
    on_plain: Callable[[Message], None] | None = None

    def buffered(self) -> bool:
        """Whether bytes wait here, which make no socket readable."""
        return self._at < len(self._came)

    def deafen(self) -> None:
        """Once connected: paho's own pair of sockets would be written to for each packet, and nobody reads it here."""
        for pair_end in ("_sockpairR", "_sockpairW"):
            end = getattr(self, pair_end, None)
            if end is not None:
                end.close()
                setattr(self, pair_end, None)

    def _handle_publish(self) -> MQTTErrorCode:
        packet, send_puback = getattr(self, "_in_packet", None), getattr(self, "_send_puback", None)
        if self.on_plain is not None and isinstance(packet, dict) and send_puback is not None:
            found = plain_publish(packet.get("command", 0), packet.get("packet", b""))
            if found is not None:
                message, packet_id = found
                self.on_plain(message)
                acknowledged: MQTTErrorCode = send_puback(packet_id) if packet_id else MQTTErrorCode.MQTT_ERR_SUCCESS
                return acknowledged
        return super()._handle_publish()

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._at >= len(self._came):
            self._came, self._at = super()._sock_recv(max(bufsize, RECEIVED_BYTES)), 0
        taken = self._came[self._at : self._at + bufsize]
        self._at += len(taken)
        return taken


class NetworkLoop:
    """Serves one client on the thread that makes it; `wake` may be called from any."""

    def __init__(self, progress: Callable[[], int]) -> None:
        """`progress` is any number that grows while messages and acknowledgements come in."""
        self._progress = progress
        self._reading, self._waking = socket.socketpair()
        self._reading.setblocking(False)
        self._waking.setblocking(False)
        self._thread = threading.get_ident()

    def close(self) -> None:
        """Gives its descriptors back."""
        self._reading.close()
        self._waking.close()

    def wake(self, *_: Any) -> None:
        """Ends the present wait, because there is something to write."""
        if threading.get_ident() != self._thread:
            # A pipe that is full wakes as well; one that is closed wakes nobody any more.
            with contextlib.suppress(OSError):
                self._waking.send(b"\0")

    def turn(self, client: paho.Client, timeout_s: float) -> MQTTErrorCode:
        """Waits until there is something to do, for at most `timeout_s`, and does it; not a success: it has ended."""
        opened = client.socket()
        if opened is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        # What is decrypted or read already makes no socket readable.
        at_hand = bool(getattr(opened, "pending", int)()) or (isinstance(client, BufferedClient) and client.buffered())
        try:
            readable, _, _ = select.select(
                [opened, self._reading], [opened] if client.want_write() else [], [], 0 if at_hand else timeout_s
            )
        except (OSError, ValueError, TypeError):
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        if self._reading in readable:
            self._reading.recv(4096)
        came = at_hand or opened in readable
        code = self._read(client) if came else MQTTErrorCode.MQTT_ERR_SUCCESS
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS and client.want_write():
            code = _write_together(client)
        elif came:
            _acknowledge(opened)
        return client.loop_misc() if code == MQTTErrorCode.MQTT_ERR_SUCCESS else code

    def _read(self, client: paho.Client) -> MQTTErrorCode:
        """paho does not say whether a packet was there, so that what came of it tells."""
        for _ in range(READS_AT_ONCE):
            before = self._progress()
            code = client.loop_read()
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self._progress() == before:
                return code
        return MQTTErrorCode.MQTT_ERR_SUCCESS


def _acknowledge(opened: Any) -> None:
    """Tells the other end now that its bytes have come, where no answer of ours tells it.

    A broker that gathers small packets (rumqttd does) holds the next one back until then, and without this the system
    waits 40 ms for an answer that could take the word along.
    """
    if _QUICKACK is not None:
        with contextlib.suppress(OSError):
            opened.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)


def _write_together(client: paho.Client) -> MQTTErrorCode:
    """One segment for all that waits, at once: small packets would else go one by one, each waking the broker."""
    opened: Any = client.socket()
    if opened is None or _CORK is None:
        return client.loop_write()
    with contextlib.suppress(OSError):
        opened.setsockopt(socket.IPPROTO_TCP, _CORK, 1)
    try:
        return client.loop_write()
    finally:
        # It may have been closed by what was written.
        with contextlib.suppress(OSError):
            opened.setsockopt(socket.IPPROTO_TCP, _CORK, 0)
