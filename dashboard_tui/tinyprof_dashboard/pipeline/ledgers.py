"""What collectors answered about the ledger, and when they are to be asked again: plain data and pure rules."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tinyprof_dashboard.events import LedgerAsked, LedgerCame
from tinyprof_protocol.requests import LedgerReply

SECOND_NS = 1_000_000_000
ASK_EVERY_S = 5.0
"""While the pipeline's screen is open."""
GIVE_UP_S = 20.0
"""An answer that has not come by then is asked for again."""
MAX_PARTS = 64


@dataclass(frozen=True, slots=True)
class Part:
    """A collector's part of the ledger. `reply` is its last answer, `error` why there is no newer one."""

    asked_ns: int
    came_ns: int | None = None
    reply: LedgerReply | None = None
    error: str = ""
    waiting: bool = True


Parts = Mapping[str, Part]


def note(parts: Parts, event: LedgerAsked | LedgerCame, now_ns: int) -> dict[str, Part]:
    """The parts after collectors were asked, or one has answered. An answer that nobody waits for is passed over."""
    told = dict(parts)
    if isinstance(event, LedgerAsked):
        for name in event.collectors:
            if name in told or len(told) < MAX_PARTS:
                told[name] = replace(told.get(name, Part(now_ns)), asked_ns=now_ns, waiting=True)
        return told
    before = told.get(event.collector)
    if before is None:
        return told
    reply, came_ns = (event.reply, now_ns) if event.reply is not None else (before.reply, before.came_ns)
    told[event.collector] = Part(before.asked_ns, came_ns, reply, event.error, waiting=False)
    return told


def due(parts: Parts, live: Iterable[str], now_ns: int) -> list[str]:
    """The live collectors that are to be asked now."""
    return [name for name in live if name not in parts or _is_due(parts[name], now_ns)]


def _is_due(part: Part, now_ns: int) -> bool:
    # A clock that was set back must not stop the asking.
    since_s = abs(now_ns - part.asked_ns) / SECOND_NS
    return since_s >= (GIVE_UP_S if part.waiting else ASK_EVERY_S)
