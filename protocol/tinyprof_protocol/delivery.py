"""Batches of records and their selective acknowledgements."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from tinyprof_protocol.bounds import MAX_SEQ, Id16, Seq, SeqRange
from tinyprof_protocol.names import NodeName
from tinyprof_protocol.records import MAX_RECORD_BYTES

MAX_BATCH_RECORDS = 256
MAX_BATCH_BYTES = 64 * 1024
MAX_BATCH_EVICTED = 64
MAX_LIVE_RECORDS = 16
"""A batch of results of now, sent beside a backlog, holds at most so many records: by that the collector knows it."""
MAX_SACK_RANGES = 64

EvictionCause = Literal["cap", "corrupt", "disk"]
"""Why the spool gave a record up: its byte cap, a page that could not be read, or no room on the disk."""


class Evicted(Struct, frozen=True, array_like=True, gc=False):
    """An inclusive range of seqs that the spool gave up, and why."""

    first: Seq
    last: Seq
    cause: EvictionCause


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """One record of a batch: its seq and its encoded `Record`, decoded and judged on its own."""

    seq: Seq
    data: Annotated[bytes, Meta(max_length=MAX_RECORD_BYTES + 256)]


class Batch(Struct, frozen=True):
    """Records of one epoch. `base` is the lowest seq still owed; all below it need no answer any more."""

    node: NodeName
    epoch: Id16
    base: Seq
    evicted: Annotated[list[Evicted], Meta(max_length=MAX_BATCH_EVICTED)]
    records: Annotated[list[Entry], Meta(max_length=MAX_BATCH_RECORDS)]


class Sack(Struct, frozen=True):
    """What of an epoch is accounted: 1 to `cum`, and the `ranges` above it (inclusive pairs)."""

    node: NodeName
    epoch: Id16
    cum: Annotated[int, Meta(ge=0, le=MAX_SEQ)]
    ranges: Annotated[list[SeqRange], Meta(max_length=MAX_SACK_RANGES)]
