"""Agents whose lines were refused: posted apart and seldom, until their lines are taken again. Pure and bounded."""

from dataclasses import dataclass

MAX_SUSPECTS = 10_000
MAX_STRIKES = 6
LINES_APART = 64
"""Of one agent at a turn."""
TURNS_AT_ONCE = 4
"""Suspected agents that have a turn in one list."""


@dataclass(slots=True)
class _Suspicion:
    strikes: int
    next_s: float


class Suspects:
    """Times are of a monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._of: dict[str, _Suspicion] = {}

    def __contains__(self, node: object) -> bool:
        return node in self._of

    def __len__(self) -> int:
        return len(self._of)

    def has_turn(self, node: str, now_s: float) -> bool:
        """Whether a suspected agent's lines may be posted now, apart."""
        return node in self._of and now_s >= self._of[node].next_s

    def strike(self, node: str, now_s: float) -> None:
        """A line of the agent was refused: the next turn is 2 s away, then 4, up to a minute."""
        before = self._of.pop(node, None)
        strikes = min(MAX_STRIKES, before.strikes + 1 if before else 1)
        if len(self._of) >= MAX_SUSPECTS:
            del self._of[next(iter(self._of))]
        self._of[node] = _Suspicion(strikes, now_s + min(60.0, 2.0**strikes))

    def clear(self, node: str, now_s: float) -> None:
        """A turn without a refusal; one for each strike ends the suspicion."""
        suspicion = self._of.get(node)
        if suspicion is None:
            return
        suspicion.strikes -= 1
        suspicion.next_s = now_s
        if suspicion.strikes <= 0:
            del self._of[node]
