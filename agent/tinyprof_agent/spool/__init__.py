"""The one buffer at the edge: records are durable here before anything else knows of them.

A record leaves only when the collector has said that the database has it, or when the byte cap forces the spool to give
it up, which is then owed like a record until acknowledged.
"""

from tinyprof_agent.spool.lock import SpoolLocked
from tinyprof_agent.spool.rows import (
    Acknowledged,
    EpochView,
    JobRow,
    Piece,
    RecordTooLarge,
    SpoolError,
    SpoolStats,
)
from tinyprof_agent.spool.store import DEFAULT_CAP_BYTES, Spool

__all__ = [
    "DEFAULT_CAP_BYTES",
    "Acknowledged",
    "EpochView",
    "JobRow",
    "Piece",
    "RecordTooLarge",
    "Spool",
    "SpoolError",
    "SpoolLocked",
    "SpoolStats",
]
