"""How many new series an agent may begin in a day: what is over that would fill the database's index. Pure, bounded."""

NEW_SERIES_A_DAY = 1000
MAX_KNOWN = 10_000
"""Series that are remembered of one agent; past that the oldest are forgotten, and would count as new."""
MAX_AGENTS = 10_000
DAY_NS = 24 * 3600 * 10**9


class SeriesGuard:
    """Counts series that were not seen since the start. A start forgets: then each series counts as new once."""

    def __init__(self, new_a_day: int = NEW_SERIES_A_DAY) -> None:
        self._new_a_day = new_a_day
        self._known: dict[str, dict[bytes, None]] = {}
        self._new: dict[str, int] = {}
        self._day = 0

    def admits(self, node: str, head: bytes, now_ns: int) -> bool:
        """Whether a line of this series may be written."""
        known = self._known.get(node)
        if known is not None and head in known:
            return True
        day = now_ns // DAY_NS
        if day != self._day:
            self._day = day
            self._new.clear()
        new = self._new.get(node, 0)
        if new >= self._new_a_day:
            return False
        if known is None:
            if len(self._known) >= MAX_AGENTS:
                del self._known[next(iter(self._known))]
            known = self._known[node] = {}
        if len(known) >= MAX_KNOWN:
            del known[next(iter(known))]
        known[head] = None
        if len(self._new) < MAX_AGENTS or node in self._new:
            self._new[node] = new + 1
        return True
