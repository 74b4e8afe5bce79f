"""What the cache keeps of a result: its record as bytes, and what is told of it without reading them. Pure."""

from typing import Final

from msgspec import Struct

from tinyprof_protocol.bounds import Count, Line, TimeNs, Word
from tinyprof_protocol.jobs import CachedFrom
from tinyprof_protocol.names import Name, NodeName
from tinyprof_protocol.records import Record, Result, Verdict
from tinyprof_protocol.requests import CacheItem

MAX_PROMPT = 120
RANK: Final[dict[Verdict, int]] = {"valid": 2, "unstable": 1, "invalid": 0}
"""Which of two verdicts is the better one."""


class Entry(Struct, frozen=True, gc=False):
    """A result that answers. `record` is the MessagePack of its `Record`."""

    node: NodeName
    board: Name
    time_ns: TimeNs
    verdict: Verdict
    platform: Word
    model: Word
    suite: Word
    prompt: Line
    prompts: Count
    record: bytes


def accepted(verdict: Verdict, least: Verdict) -> bool:
    """Whether a verdict is good enough: `valid`, or `unstable` where that is the least that is taken."""
    return RANK[verdict] >= RANK[least]


def entry_of(node: str, record: Record, result: Result, data: bytes) -> Entry:
    """The entry of a stored result; `data` is the record as it came."""
    first = " ".join(result.prompts[0].split())[:MAX_PROMPT] if result.prompts else ""
    return Entry(
        node, result.board, record.time_ns, result.verdict, result.build.platform, result.build.model,
        result.suite, first, len(result.prompts), data,
    )  # fmt: skip


def cached_from(entry: Entry, age_ns: int) -> CachedFrom:
    """Where an answer is from."""
    return CachedFrom(entry.node, entry.board, entry.time_ns, max(0, age_ns) / 1e9, entry.verdict)


def item_of(entry: Entry, age_ns: int, hits: int) -> CacheItem:
    """The entry as it is listed."""
    return CacheItem(
        cached_from(entry, age_ns), entry.platform, entry.model, entry.suite, entry.prompt, entry.prompts, hits
    )
