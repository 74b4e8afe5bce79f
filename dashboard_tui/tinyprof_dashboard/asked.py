"""What collectors were asked and have answered, and when they are to be asked again: plain data and pure rules."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

R = TypeVar("R")
SECOND_NS = 1_000_000_000
ASK_EVERY_S = 5.0
"""While the screen that shows the answers is open."""
ASK_JOBS_EVERY_S = 2.0
"""Jobs come and go faster, and their list is short."""
GIVE_UP_S = 20.0
"""An answer that has not come by then is asked for again."""
MAX_PARTS = 64


@dataclass(frozen=True, slots=True)
class Part(Generic[R]):
    """A collector's part of an answer. `reply` is its last one, `error` why there is none that is newer."""

    asked_ns: int
    came_ns: int | None = None
    reply: R | None = None
    error: str = ""
    waiting: bool = True


def note_asked(parts: Mapping[str, Part[R]], collectors: Iterable[str], now_ns: int) -> dict[str, Part[R]]:
    """The parts after these collectors were asked."""
    told = dict(parts)
    for name in collectors:
        if name in told or len(told) < MAX_PARTS:
            told[name] = replace(told.get(name, Part(now_ns)), asked_ns=now_ns, waiting=True)
    return told


def note_came(
    parts: Mapping[str, Part[R]], collector: str, reply: R | None, error: str, now_ns: int
) -> dict[str, Part[R]]:
    """The parts after one has answered. An answer that nobody waits for is passed over."""
    told, before = dict(parts), parts.get(collector)
    if before is not None:
        kept, came_ns = (reply, now_ns) if reply is not None else (before.reply, before.came_ns)
        told[collector] = Part(before.asked_ns, came_ns, kept, error, waiting=False)
    return told


def due(parts: Mapping[str, Part[R]], live: Iterable[str], now_ns: int, every_s: float = ASK_EVERY_S) -> list[str]:
    """The live collectors that are to be asked now, each every `every_s` seconds."""
    return [name for name in live if name not in parts or _is_due(parts[name], now_ns, every_s)]


def _is_due(part: Part[R], now_ns: int, every_s: float) -> bool:
    # A clock that was set back must not stop the asking.
    since_s = abs(now_ns - part.asked_ns) / SECOND_NS
    return since_s >= (GIVE_UP_S if part.waiting else every_s)
