"""What is watched of all boards, and which changes stand. Pure: every time is an argument.

A change for the worse stands until the level is back where it was, or until it has stood for so long that it is the new
normal. A change on top of one that stands is held against the level before the first.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from msgspec.structs import replace

from tinyprof_collector.config import RegressionsConfig
from tinyprof_collector.regressions.level import Level, Shift, change_of
from tinyprof_collector.regressions.watched import (
    WATCHED,
    build_words,
    figures_of,
    is_counted,
    is_worse,
    line_of,
)
from tinyprof_protocol.presence import Regression
from tinyprof_protocol.records import Record, Result
from tinyprof_protocol.series import KnownSeries

MAX_LINES: Final = 40_000
MAX_BUILDS: Final = 16
"""Newest runs of a line whose builds are remembered: a level is told apart within so many."""
MAX_AHEAD_NS: Final = 600 * 10**9
"""How far a run's time may be ahead: all that came after one from next year would be old beside it until then."""
DAY_NS: Final = 86_400 * 10**9
BoardKey = tuple[str, str]
LineKey = tuple[str, str, bytes]
"""Node, board and line."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change that was found, or that stands no longer."""

    kind: Literal["found", "ended"]
    regression: Regression
    why: str = ""


@dataclass(slots=True)
class Line:
    """A board's like runs: the level of each metric, the builds of the newest, and what stands."""

    levels: dict[str, Level] = field(default_factory=dict)
    builds: deque[tuple[int, str, str]] = field(default_factory=lambda: deque(maxlen=MAX_BUILDS))
    """Time, series and build of the newest runs."""
    standing: dict[str, Regression] = field(default_factory=dict)
    """By metric; the changes for the worse alone."""


class Watch:
    """All lines, at most `MAX_LINES`; the one that had no run for longest goes first. For one thread at a time."""

    def __init__(self, rules: RegressionsConfig) -> None:
        self._rules = rules
        self._metrics = tuple(rules.metrics) or WATCHED
        self._known = KnownSeries()
        self._terms: dict[tuple[str, str], tuple[str, bytes, str]] = {}
        """Of each board's last run: its series, line, and build in words. Most are like the one before."""
        self.lines: dict[LineKey, Line] = {}
        self.changed: set[LineKey] = set()
        """Lines that are not yet kept; those that are gone from `lines` too."""
        self.counts = {
            "watch_runs": 0, "watch_runs_ahead": 0, "watch_lines_let_go": 0, "regressions_found": 0,
            "improvements_found": 0,
        }  # fmt: skip

    def take(self, node: str, record: Record, now_ns: int) -> list[Change]:
        """Looks at a stored record; the changes that a run brings. Only runs with a verdict that is accepted count."""
        result = record.body
        if not isinstance(result, Result) or not self._accepts(result):
            return []
        if record.time_ns > now_ns + MAX_AHEAD_NS:
            self.counts["watch_runs_ahead"] += 1
            return []
        series, of_line, build = self._terms_of(node, result)
        key = (node, result.board, of_line)
        line = self._line(key)
        self.counts["watch_runs"] += 1
        self.changed.add(key)
        line.builds.append((record.time_ns, series, build))
        changes: list[Change] = []
        for metric, value in figures_of(result, self._metrics).items():
            level = line.levels.setdefault(metric, Level())
            if is_counted(metric, result):
                shift = level.take_counted(record.time_ns, value)
            else:
                shift = level.take(record.time_ns, value, self._rules.min_change)
            if shift is not None:
                found = _regression(key, line, metric, shift, result.suite, now_ns)
                changes += self._note(line, found, 0.0 if is_counted(metric, result) else self._rules.min_change)
        return changes

    def tick(self, now_ns: int) -> list[Change]:
        """What has stood for so long that it is the new normal."""
        ended: list[Change] = []
        stands_ns = int(self._rules.stands_days * DAY_NS)
        for key, line in self.lines.items():
            for metric, one in list(line.standing.items()):
                if now_ns - one.found_ns > stands_ns:
                    del line.standing[metric]
                    self.changed.add(key)
                    ended.append(Change("ended", one, f"it has stood for {self._rules.stands_days:g} days"))
        return ended

    def standing(self) -> list[Regression]:
        """All that stand, newest first."""
        found = [one for line in self.lines.values() for one in line.standing.values()]
        return sorted(found, key=lambda one: -one.since_ns)

    def forget(self, keys: Iterable[BoardKey]) -> None:
        """Boards that are forgotten are watched anew."""
        gone = set(keys)
        for key in [key for key in self.lines if key[:2] in gone]:
            del self.lines[key]
            self.changed.add(key)

    def _accepts(self, result: Result) -> bool:
        return result.verdict == "valid" or (result.verdict == "unstable" and self._rules.accept == "unstable")

    def _terms_of(self, node: str, result: Result) -> tuple[str, bytes, str]:
        series = self._known.of(result)
        known = self._terms.get((node, result.board))
        if known is None or known[0] != series:
            if len(self._terms) >= MAX_LINES:
                self._terms.clear()
            known = self._terms[node, result.board] = (series, line_of(result), build_words(result))
        return known

    def _line(self, key: LineKey) -> Line:
        line = self.lines.pop(key, None)
        if line is None:
            if len(self.lines) >= MAX_LINES:
                oldest = next(iter(self.lines))
                del self.lines[oldest]
                self.changed.add(oldest)
                self.counts["watch_lines_let_go"] += 1
            line = Line()
        self.lines[key] = line
        return line

    def _note(self, line: Line, found: Regression, tolerance: float) -> list[Change]:
        before = line.standing.pop(found.metric, None)
        if before is None:
            return self._raised(line, found)
        now = replace(found, before=before.before, change=change_of(before.before, found.after))
        now = replace(now, worse=is_worse(found.metric, now.change))
        if abs(now.change) <= tolerance or not now.worse:
            return [Change("ended", before, "its level is back")]
        return [Change("ended", before, "it has changed again"), *self._raised(line, now)]

    def _raised(self, line: Line, found: Regression) -> list[Change]:
        if found.worse:
            line.standing[found.metric] = found
        self.counts["regressions_found" if found.worse else "improvements_found"] += 1
        return [Change("found", found)]


def _regression(key: LineKey, line: Line, metric: str, shift: Shift, suite: str, now_ns: int) -> Regression:
    node, board, _ = key
    series, build = next(((s, b) for time_ns, s, b in line.builds if time_ns >= shift.since_ns), ("", ""))
    earlier = {b for time_ns, _, b in line.builds if time_ns < shift.since_ns}
    return Regression(
        node=node, board=board, series=series, metric=metric, before=shift.before, after=shift.after,
        change=shift.change, since_ns=shift.since_ns, found_ns=now_ns, worse=is_worse(metric, shift.change),
        suite=suite, new_build=build if earlier and build not in earlier else "",
    )  # fmt: skip
