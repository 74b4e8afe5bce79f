"""Which of an agent's waiting batches come from the newest end of its spool. Pure.

While an agent has a backlog it sends from both ends: oldest first, and a few of the newest, which are of now. Its
batches say where they begin and what the lowest seq is that the agent still owes (`base`): what does not follow on from
there is from the newest end.
"""

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack

HEAD_BYTES = 1024
"""So much of a batch is looked at: its node, epoch, base and evicted ranges, unless there are many of these."""


class Span(NamedTuple):
    """The seqs that a batch holds, if they follow on each other, and the lowest that its agent owed at the time."""

    epoch: bytes
    base: int
    first: int
    last: int

    def holds_the_same(self, other: "Span") -> bool:
        """Whether two batches of an agent hold the same records."""
        return (self.epoch, self.first, self.last) == (other.epoch, other.first, other.last)


def span_of(payload: bytes) -> Span | None:
    """Where a batch begins and ends, from its first bytes; None where they do not tell. Nothing is checked here."""
    try:
        return _span_in(_head_of(payload))
    except (zlib.error, ValueError, TypeError, msgpack.UnpackException):
        return None


def ahead(spans: Sequence[Span | None], reached: int = 0) -> list[int]:
    """The places of those batches that lie beyond a gap, lowest first; of batches that do not tell none does.

    `reached` is the seq that follows on the oldest batches that were handed over before.
    """
    known = sorted((span.first, span.last, at) for at, span in enumerate(spans) if span is not None)
    follows = max((span.base for span in spans if span is not None), default=0)
    follows = max(follows, reached)
    for number, (first, last, _) in enumerate(known):
        if first > follows:
            return [at for _, _, at in known[number:]]
        follows = max(follows, last + 1)
    return []


def _head_of(payload: bytes) -> bytes:
    if payload[:1] == b"\1":
        return zlib.decompressobj().decompress(payload[1:], HEAD_BYTES)
    return payload[1 : 1 + HEAD_BYTES]


def _span_in(head: bytes) -> Span | None:
    unpacker = msgpack.Unpacker(max_buffer_size=HEAD_BYTES)
    unpacker.feed(head)
    found: dict[str, Any] = {}
    for _ in range(unpacker.read_map_header()):
        name = unpacker.unpack()
        if name == "records":
            break
        if name in ("epoch", "base"):
            found[name] = unpacker.unpack()
        else:
            unpacker.skip()
    else:
        return None
    records = unpacker.read_array_header()
    if not records or not unpacker.read_array_header():
        return None
    first, epoch, base = unpacker.unpack(), found.get("epoch"), found.get("base")
    if not isinstance(first, int) or not isinstance(epoch, bytes) or not isinstance(base, int):
        return None
    return Span(epoch, base, first, first + records - 1)
