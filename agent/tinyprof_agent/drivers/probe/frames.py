"""Frames on a serial line: a zero byte, COBS, a zero byte; inside, a body and its CRC-16.

The CRC is CRC-16/IBM-3740 (check value 0x29B1) over the body, big-endian. A body is a MessagePack array of 1 to 15
elements, so its first byte is 0x91 to 0x9F, and the second byte of every frame on the line is that same byte, which
no ASCII text has. What a board prints is therefore told from a frame at its second byte and need not be kept back.
A body whose CRC is right may still lack its last byte (docs/link-protocol.md says when); as no MessagePack array is the
beginning of another, decoding it finds that out.
COBS: Cheshire and Baker, "Consistent Overhead Byte Stuffing", 1997.
"""

import binascii
from typing import NamedTuple

MAX_BODY_BYTES = 1024
"""The longest body in either direction."""
CRC_BYTES = 2
_CRC_START = 0xFFFF
_LONGEST_RUN = 0xFF
_ARRAYS = range(0x91, 0xA0)


class FrameError(ValueError):
    """A body that no frame can carry."""


def crc16(data: bytes | bytearray | memoryview) -> int:
    """CRC-16/IBM-3740: polynomial 0x1021, start 0xFFFF, nothing reflected; of b"123456789" it is 0x29B1."""
    return binascii.crc_hqx(data, _CRC_START)


def cobs_encode(data: bytes) -> bytes:
    """`data` without zero bytes: each run of up to 254 other bytes gets one byte that says where it ends."""
    out = bytearray()
    runs = data.split(b"\x00")
    for number, run in enumerate(runs):
        at = 0
        while len(run) - at >= _LONGEST_RUN - 1:
            out.append(_LONGEST_RUN)
            out += run[at : at + _LONGEST_RUN - 1]
            at += _LONGEST_RUN - 1
        is_last = number == len(runs) - 1
        # A full run stands for no zero, so at the very end nothing more need be said.
        if at < len(run) or not is_last or at == 0:
            out.append(len(run) - at + 1)
            out += run[at:]
    return bytes(out)


def cobs_decode(data: bytes | bytearray) -> bytes | None:
    """The bytes that COBS encoded as `data` (without its delimiters), or None if it is no such encoding."""
    out = bytearray()
    at, end = 0, len(data)
    while at < end:
        code = data[at]
        run = data[at + 1 : at + code]
        if code == 0 or len(run) != code - 1 or 0 in run:
            return None
        out += run
        at += code
        if code != _LONGEST_RUN and at < end:
            out.append(0)
    return bytes(out)


def encode_frame(body: bytes) -> bytes:
    """The bytes on the line for one body. Raises FrameError if it is too long or not a short array."""
    if not 1 <= len(body) <= MAX_BODY_BYTES:
        raise FrameError(f"a body of {len(body)} bytes is not 1 to {MAX_BODY_BYTES}")
    if body[0] not in _ARRAYS:
        raise FrameError(f"a body starts with 0x91 to 0x9F, not 0x{body[0]:02X}")
    return b"\x00" + cobs_encode(body + crc16(body).to_bytes(CRC_BYTES, "big")) + b"\x00"


class Decoded(NamedTuple):
    """What one lot of received bytes brought: whole bodies, and what the board printed in between."""

    bodies: list[bytes]
    log: bytes


class FrameDecoder:
    """Received bytes to bodies and log, in any chunks; keeps at most one frame's bytes between calls.

    `bad_crc` counts frames that were begun and proved damaged, cut or too long; their bytes are dropped.
    """

    def __init__(self, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        longest = max_body_bytes + CRC_BYTES
        self._max_body = max_body_bytes
        self._max_encoded = longest + longest // (_LONGEST_RUN - 1) + 1
        self._pending = bytearray()
        self._is_log = False
        self._too_long = False
        self.bad_crc = 0

    def feed(self, data: bytes) -> Decoded:
        """Takes the bytes that came and returns what they complete. The log is never longer than what came, plus 1."""
        bodies: list[bytes] = []
        log = bytearray()
        *ended, rest = data.split(b"\x00")
        for part in ended:
            self._take(part, log)
            self._end(bodies, log)
        self._take(rest, log)
        return Decoded(bodies, bytes(log))

    def reset(self) -> None:
        """Forgets what is pending: the line was closed or is about to be drained."""
        self._pending.clear()
        self._is_log = self._too_long = False

    def _take(self, part: bytes, log: bytearray) -> None:
        if self._is_log:
            log += part
            return
        if self._too_long:
            return
        self._pending += part
        if len(self._pending) >= 2 and self._pending[1] not in _ARRAYS:
            self._is_log = True
            log += self._pending
            self._pending.clear()
        elif len(self._pending) > self._max_encoded:
            self._too_long = True
            self._pending.clear()

    def _end(self, bodies: list[bytes], log: bytearray) -> None:
        """A zero byte came: what is pending is a frame, a damaged one, or a single byte of log."""
        if len(self._pending) == 1:
            log += self._pending
        elif self._too_long:
            self.bad_crc += 1
        elif self._pending:
            body = _checked_body(self._pending)
            if body is None or len(body) > self._max_body:
                self.bad_crc += 1
            else:
                bodies.append(body)
        self.reset()


def _checked_body(encoded: bytearray) -> bytes | None:
    decoded = cobs_decode(encoded)
    if decoded is None or len(decoded) <= CRC_BYTES:
        return None
    body, crc = decoded[:-CRC_BYTES], decoded[-CRC_BYTES:]
    return body if crc == crc16(body).to_bytes(CRC_BYTES, "big") and body[0] in _ARRAYS else None
