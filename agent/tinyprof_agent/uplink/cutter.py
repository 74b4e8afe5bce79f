"""Cuts a batch out of what a read of the spool found, within every limit. Pure."""

from dataclasses import dataclass, field
from typing import Final

from tinyprof_agent.spool.rows import Piece
from tinyprof_protocol.codec import MAX_WIRE_BYTES
from tinyprof_protocol.delivery import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, Batch, Entry, Evicted
from tinyprof_protocol.ranges import RangeSet

ENTRY_BYTES: Final = 16
"""What a record costs in a batch beside its own bytes, at most."""
EVICTED_BYTES: Final = 28
"""What an evicted range costs, at most."""
HEADER_BYTES: Final = 240
"""What the rest of a batch costs, at most, with a node's name of full length."""
PACKET_BYTES: Final = 320
"""What MQTT adds, at most: header, topic and properties."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a batch may hold: records, and bytes before deflating."""

    max_records: int = MAX_BATCH_RECORDS
    max_bytes: int = MAX_BATCH_BYTES


@dataclass(frozen=True, slots=True)
class Cut:
    """A batch, the span of seqs that it speaks for, and what it carries of it.

    `oversize` are seqs in the span that no batch can carry to this broker.
    """

    batch: Batch
    first: int
    last: int
    owes: RangeSet
    oversize: list[int] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Nothing in the span needs sending."""
        return not self.owes


def limits_for(max_packet_bytes: int | None, max_records: int = MAX_BATCH_RECORDS) -> Limits:
    """The limits of a batch for a broker that takes packets of so many bytes (None: it did not say)."""
    room = MAX_WIRE_BYTES if max_packet_bytes is None else max_packet_bytes - PACKET_BYTES
    return Limits(max(1, max_records), min(MAX_BATCH_BYTES, room))


def cut(node: str, piece: Piece, first: int, last: int, *, newest: bool, limits: Limits) -> Cut:
    """The batch that speaks for as much of `first` to `last` as fits, from the end that `piece` was read from."""
    reach = _reach(piece, first, last, newest)
    items = _in_order(piece, reach, newest)
    records: list[Entry] = []
    evicted: list[Evicted] = []
    oversize: list[int] = []
    room = limits.max_bytes - HEADER_BYTES
    for item in items:
        size = len(item.data) + ENTRY_BYTES if isinstance(item, Entry) else EVICTED_BYTES
        if isinstance(item, Entry) and size > limits.max_bytes - HEADER_BYTES:
            oversize.append(item.seq)
            continue
        if size > room or (isinstance(item, Entry) and len(records) == limits.max_records):
            reach = _before(item, newest)
            break
        room -= size
        if isinstance(item, Entry):
            records.append(item)
        else:
            evicted.append(item)
    if newest:
        records.reverse()
        evicted.reverse()
    owes = RangeSet((entry.seq, entry.seq) for entry in records)
    owes.update((gone.first, gone.last) for gone in evicted)
    batch = Batch(node, piece.epoch, piece.base, evicted, records)
    span = (reach, last) if newest else (first, reach)
    return Cut(batch, *span, owes, [seq for seq in oversize if span[0] <= seq <= span[1]])


def _reach(piece: Piece, first: int, last: int, newest: bool) -> int:
    """How far from its near end the read is known to be complete."""
    if newest:
        ends = [first]
        ends += [piece.records[-1].seq] if piece.records_cut and piece.records else []
        ends += [piece.evicted[-1].first] if piece.evicted_cut else []
        return max(ends)
    ends = [last]
    ends += [piece.records[-1].seq] if piece.records_cut and piece.records else []
    ends += [piece.evicted[-1].last] if piece.evicted_cut else []
    return min(ends)


def _in_order(piece: Piece, reach: int, newest: bool) -> list[Entry | Evicted]:
    """Records and evicted ranges within reach, in the order of the read; ranges that cross its end are cut there."""
    items: list[Entry | Evicted] = []
    items += [entry for entry in piece.records if (entry.seq >= reach if newest else entry.seq <= reach)]
    for gone in piece.evicted:
        low, high = (max(gone.first, reach), gone.last) if newest else (gone.first, min(gone.last, reach))
        if low <= high:
            items.append(Evicted(low, high, gone.cause))
    return sorted(items, key=_place, reverse=newest)


def _place(item: Entry | Evicted) -> int:
    return item.seq if isinstance(item, Entry) else item.first


def _before(item: Entry | Evicted, newest: bool) -> int:
    """The last seq that a batch speaks for when it ends before `item`."""
    if isinstance(item, Entry):
        return item.seq + 1 if newest else item.seq - 1
    return item.last + 1 if newest else item.first - 1
