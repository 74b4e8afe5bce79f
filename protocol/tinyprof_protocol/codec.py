"""Bytes to typed structs and back: one byte (0 plain, 1 zlib), then a MessagePack map.

Limits are checked before anything is decoded, so that hostile bytes cost nothing.
"""

import threading
import zlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

MAX_WIRE_BYTES = 256 * 1024
MAX_INFLATED_BYTES = 2 * 1024 * 1024
COMPRESS_FROM_BYTES = 512

_PLAIN, _ZLIB = 0, 1
_NOT_DECODED = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError)
T = TypeVar("T")
_encoder = msgspec.msgpack.Encoder()
_making = threading.Lock()


class BadMessage(ValueError):
    """Bytes that are no message of the type asked for; the message says why in a line."""


def pack(message: object) -> bytes:
    """The MessagePack of a struct, without the leading byte: what the spool and the stores keep."""
    return _encoder.encode(message)


def unpack(data: bytes | memoryview, kind: type[T]) -> T:
    """A struct of `kind` from its MessagePack. Raises BadMessage, whatever the bytes are."""
    try:
        decoded: T = _decoder(kind).decode(data)  # type: ignore[arg-type]
    except _NOT_DECODED as why:
        raise BadMessage(_one_line(why)) from None
    return decoded


def unpack_each(items: Iterable[bytes], kind: type[T]) -> list[T | BadMessage]:
    """As `unpack` for many, quicker for each; in the place of one that is bad stands what is wrong with it."""
    decode_one = _decoder(kind).decode  # type: ignore[arg-type]
    decoded: list[T | BadMessage] = []
    for data in items:
        try:
            decoded.append(decode_one(data))
        except _NOT_DECODED as why:
            decoded.append(BadMessage(_one_line(why)))
    return decoded


def encode(message: object, *, compress: bool = True) -> bytes:
    """A message as it travels; deflated where that makes it smaller. Raises BadMessage if it breaks the limits."""
    packed = _encoder.encode(message)
    if len(packed) > MAX_INFLATED_BYTES:
        raise BadMessage(f"message of {len(packed)} bytes is over {MAX_INFLATED_BYTES}")
    payload = b"\x00" + packed
    if compress and len(packed) >= COMPRESS_FROM_BYTES:
        deflated = b"\x01" + zlib.compress(packed, 1)
        payload = min(payload, deflated, key=len)
    if len(payload) > MAX_WIRE_BYTES:
        raise BadMessage(f"message of {len(payload)} bytes on the wire is over {MAX_WIRE_BYTES}")
    return payload


def decode(payload: bytes, kind: type[T]) -> T:
    """A message of `kind` from its payload. Raises BadMessage, whatever the bytes are."""
    if not payload:
        raise BadMessage("message is empty")
    if len(payload) > MAX_WIRE_BYTES:
        raise BadMessage(f"message of {len(payload)} bytes is over {MAX_WIRE_BYTES}")
    if payload[0] == _PLAIN:
        return unpack(memoryview(payload)[1:], kind)
    if payload[0] == _ZLIB:
        return unpack(_inflate(payload), kind)
    raise BadMessage(f"message starts with byte {payload[0]}, not 0 (plain) or 1 (zlib)")


def _inflate(payload: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(memoryview(payload)[1:], MAX_INFLATED_BYTES + 1)
    except zlib.error as why:
        raise BadMessage(f"zlib: {_one_line(why)}") from None
    if len(data) > MAX_INFLATED_BYTES:
        raise BadMessage(f"message inflates to over {MAX_INFLATED_BYTES} bytes")
    if not inflater.eof or inflater.unused_data:
        raise BadMessage("zlib: data is cut short or has bytes behind it")
    return data


@lru_cache(maxsize=64)
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    # Two threads that each make the first decoder of a struct crash the process (msgspec 0.22.0): one at a time.
    with _making:
        return msgspec.msgpack.Decoder(kind)


def _one_line(why: BaseException) -> str:
    return (" ".join(str(why).split()) or type(why).__name__)[:300]
