"""Which of an agent's waiting batches come from the newest end of its spool. Pure.

While an agent has a backlog it sends from both ends: oldest first, and a few of the newest, which are of now. Its
batches say where they begin; what lies beyond a gap after the oldest that follow on each other is from the newest end.
"""

import zlib
from collections.abc import Sequence
from itertools import pairwise

import msgpack

HEAD_BYTES = 1024
"""So much of a batch is looked at: its node, epoch, base and evicted ranges, unless there are many of these."""

Span = tuple[int, int]
"""The first seq of a batch and the last, if its records follow on each other."""


def span_of(payload: bytes) -> Span | None:
    """Where a batch begins and ends, from its first bytes; None where they do not tell. Nothing is checked here."""
    try:
        return _span_in(_head_of(payload))
    except (zlib.error, ValueError, TypeError, msgpack.UnpackException):
        return None


def ahead(spans: Sequence[Span | None]) -> list[int]:
    """The places of those batches that lie beyond a gap, lowest first; of batches that do not tell none does."""
    known = sorted((span, at) for at, span in enumerate(spans) if span is not None)
    for number, ((before, _), (after, _)) in enumerate(pairwise(known), 1):
        if after[0] > before[1] + 1:
            return [at for _, at in known[number:]]
    return []


def _head_of(payload: bytes) -> bytes:
    if payload[:1] == b"\1":
        return zlib.decompressobj().decompress(payload[1:], HEAD_BYTES)
    return payload[1 : 1 + HEAD_BYTES]


def _span_in(head: bytes) -> Span | None:
    unpacker = msgpack.Unpacker(max_buffer_size=HEAD_BYTES)
    unpacker.feed(head)
    for _ in range(unpacker.read_map_header()):
        if unpacker.unpack() != "records":
            unpacker.skip()
            continue
        records = unpacker.read_array_header()
        if not records or not unpacker.read_array_header():
            return None
        first = unpacker.unpack()
        return (first, first + records - 1) if isinstance(first, int) else None
    return None
