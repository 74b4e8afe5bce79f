"""Bounds that every message keeps, so that hostile bytes cost nothing.

A counter may reach 2^53 (what a double and a JSON reader still hold exactly); a time is int64 nanoseconds.
"""

from typing import Annotated

from msgspec import Meta

MAX_COUNT = 2**53
MAX_SEQ = 2**53

Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Seq = Annotated[int, Meta(ge=1, le=MAX_SEQ)]
TimeNs = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Finite = Annotated[float, Meta(ge=-1e308, le=1e308)]
"""A float that is neither NaN nor infinite."""
Id16 = Annotated[bytes, Meta(min_length=16, max_length=16)]
"""128 bits: an epoch, a boot, a run, a job."""
Sha256Hex = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z", max_length=64)]
Word = Annotated[str, Meta(max_length=64)]
"""A short identifier: what may become a tag."""
Line = Annotated[str, Meta(max_length=300)]
"""One line for a person."""
Text = Annotated[str, Meta(max_length=4096)]
MetricKey = Annotated[str, Meta(max_length=48)]

SeqRange = tuple[Seq, Seq]
"""An inclusive pair of sequence numbers."""
