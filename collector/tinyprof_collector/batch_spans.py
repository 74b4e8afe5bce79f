"""What a waiting batch holds, told from its first bytes without decoding it. Pure."""

import zlib
from typing import Any, NamedTuple

import msgpack

from tinyprof_protocol.delivery import MAX_LIVE_RECORDS

HEAD_BYTES = 1024
"""So much of a batch is looked at: its node, epoch, base and evicted ranges, unless there are many of these."""


class Span(NamedTuple):
    """The seqs that a batch holds, if they follow on each other."""

    epoch: bytes
    first: int
    last: int

    def covers(self, other: "Span") -> bool:
        """Whether all that another batch holds is in this one: the same, or one that was halved since."""
        return self.epoch == other.epoch and self.first <= other.first and other.last <= self.last

    def is_live(self) -> bool:
        """Whether it is as small as a batch of results of now, which does not wait behind backlogs."""
        return self.last - self.first < MAX_LIVE_RECORDS


def span_of(payload: bytes) -> Span | None:
    """Where a batch begins and ends, from its first bytes; None where they do not tell. Nothing is checked here."""
    try:
        return _span_in(_head_of(payload))
    except (zlib.error, ValueError, TypeError, msgpack.UnpackException):
        return None


def _head_of(payload: bytes) -> bytes:
    if payload[:1] == b"\1":
        return zlib.decompressobj().decompress(payload[1:], HEAD_BYTES)
    return payload[1 : 1 + HEAD_BYTES]


def _span_in(head: bytes) -> Span | None:
    unpacker = msgpack.Unpacker(max_buffer_size=HEAD_BYTES)
    unpacker.feed(head)
    epoch: Any = None
    for _ in range(unpacker.read_map_header()):
        name = unpacker.unpack()
        if name == "records":
            break
        if name == "epoch":
            epoch = unpacker.unpack()
        else:
            unpacker.skip()
    else:
        return None
    records = unpacker.read_array_header()
    if not records or not unpacker.read_array_header():
        return None
    first = unpacker.unpack()
    if not isinstance(first, int) or not isinstance(epoch, bytes):
        return None
    return Span(epoch, first, first + records - 1)
