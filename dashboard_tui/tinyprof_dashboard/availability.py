"""What may still be believed: a board is available while nobody's last will says otherwise and its newest value is no
older than its own interval allows. Pure rules over what was said and when; all times in wall nanoseconds.
"""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from tinyprof_dashboard.numerals import age
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.presence import AgentStatus, BoardSummary, CollectorStatus, Health

SECOND_NS = 1_000_000_000
HEALTHS: Final[tuple[Health, ...]] = ("healthy", "warning", "critical", "stale", "offline")
INTERVALS = 3.0
GRACE_S = 5.0
LONGEST_S = 1e9
FOREVER_NS = 2**63 - 1

S = TypeVar("S", AgentStatus, CollectorStatus)


@dataclass(frozen=True, slots=True)
class Heard(Generic[S]):
    """A status, when its sender was last heard, and whether that is recent enough to count as alive."""

    status: S
    heard_ns: int
    alive: bool


def limit_ns(interval_s: float) -> int:
    """How old a value may become when one is due every `interval_s` seconds."""
    return round((min(max(interval_s, 0.0), LONGEST_S) * INTERVALS + GRACE_S) * SECOND_NS)


def heard_at(said_ns: int, *, live: bool, now_ns: int) -> int:
    """When a sender spoke: now, if it came by itself; for a remembered message the time that it carries, if any."""
    return now_ns if live or said_ns <= 0 else min(said_ns, now_ns)


def is_alive(status: AgentStatus | CollectorStatus, heard_ns: int, now_ns: int) -> bool:
    """Whether its last will did not speak and it kept its own interval."""
    return status.state == "online" and now_ns - heard_ns <= limit_ns(status.interval_s)


def value_time_ns(summary: BoardSummary) -> int | None:
    """When a board's newest value was heard, by the collector's clock; None if nothing ever was."""
    return summary.last_seen_ns or summary.last_result_ns


def expiry_ns(summary: BoardSummary) -> int:
    """Until when the collector's word on a board holds, by the collector's clock.

    Each value that comes makes a new word, so one that is older than the board's interval means that none came, or
    that the collector no longer says so. Boards on request only, and disabled ones, owe no values.
    """
    if summary.interval_s <= 0 or summary.state == "disabled":
        return FOREVER_NS
    return max(summary.time_ns, summary.last_seen_ns or 0) + limit_ns(summary.interval_s)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A board's state as the dashboard may show it, and until when (collector's clock) it may without a new word."""

    health: Health
    reasons: tuple[str, ...]
    expires_ns: int


def judge(
    summary: BoardSummary, agent: Heard[AgentStatus] | None, *, watched: bool, collector_now_ns: int
) -> Judgement:
    """The collector's word on a board, unless its agent is gone, nobody watches it, or its value is too old.

    `watched` says whether a live collector holds the board's partition.
    """
    said = tuple(summary.reasons)
    if summary.health == "offline":
        return Judgement("offline", said, FOREVER_NS)
    if agent is not None and agent.status.state == "offline":
        return Judgement("offline", ("its agent is offline", *said), FOREVER_NS)
    if not watched:
        return Judgement("stale", (f"no collector watches it (partition {partition_of(summary.node):02d})", *said),
                         FOREVER_NS)  # fmt: skip
    expires_ns = expiry_ns(summary)
    if collector_now_ns > expires_ns:
        due = f"no word within its interval of {summary.interval_s:g}s"
        return Judgement("stale", (due, *said), FOREVER_NS)
    if agent is not None and not agent.alive:
        return Judgement("stale", (f"its agent is silent (due every {age(agent.status.interval_s)})", *said),
                         FOREVER_NS)  # fmt: skip
    if summary.health == "stale":
        return Judgement("stale", said, FOREVER_NS)
    return Judgement(summary.health, said, expires_ns)
