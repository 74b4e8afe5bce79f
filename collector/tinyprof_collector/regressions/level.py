"""The level of one metric over like runs, and the run from which it is another. Pure.

The first `ANCHOR` values of a level are its baseline and stay, so that a slow drift is measured against where it began.
After them the newest `RECENT` are kept. With each new value the newest k of them, k = 5 to 16, are held against the
baseline by the Mann-Whitney test, which looks at ranks only: single outliers and the shape of the noise do not matter.
A level has changed where, for the k with the least p, p is at most `ALPHA` and the medians differ by the smallest
change that is worth telling. With a full baseline the least p of four values is 1e-4 and of five 1.7e-5, so that
`ALPHA` asks for five runs that all lie outside the baseline, or for more of them where some do not.

Ranks in place of means are what Pettitt proposed for change points (Applied Statistics 28, 1979); to hold the newest
values against a baseline of a fixed size keeps the power the same however long the level has lasted.
"""

from array import array
from bisect import bisect_left
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from tinyprof_protocol.mann_whitney import least_p, mann_whitney

ANCHOR: Final = 24
RECENT: Final = 16
LEAST_BEFORE: Final = 8
LEAST_AFTER: Final = 5
ALPHA: Final = 2e-5
COUNTED_CHANGE: Final = 1e-4
"""The smallest change of an emulator's count: two repetitions may differ by as much."""


@dataclass(frozen=True, slots=True)
class Shift:
    """A level that has changed: the medians before and after, and the time of the first run of the new level."""

    before: float
    after: float
    since_ns: int

    @property
    def change(self) -> float:
        """(after - before) / before."""
        return change_of(self.before, self.after)


@dataclass(slots=True)
class Level:
    """Times and values of the runs of a level, by time."""

    times: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[float]" = field(default_factory=lambda: array("d"))
    _base: float | None = None
    """The median of a full baseline, which stays the same for as long as the level does."""

    def middle(self) -> float:
        """The median of all that is kept."""
        return median(self.values)

    def take(self, time_ns: int, value: float, min_change: float) -> Shift | None:
        """Adds the value of a run; the shift, if there is one, and then the level is the new one.

        What is older than the newest `RECENT` values of a full level, and a run that is there already, change nothing.
        """
        if not self._add(time_ns, value):
            return None
        found = self._split(min_change)
        if found is None:
            return None
        first, shift = found
        del self.times[:first], self.values[:first]
        self._base = None
        return shift

    def take_counted(self, time_ns: int, value: float) -> Shift | None:
        """As `take` for values without noise: one that is another is a shift."""
        if self.times and time_ns <= self.times[-1]:
            return None
        before = self.values[-1] if self.values else value
        if abs(change_of(before, value)) > COUNTED_CHANGE:
            self.times, self.values = array("q", [time_ns]), array("d", [value])
            return Shift(before, value, time_ns)
        self._add(time_ns, value)
        return None

    def _add(self, time_ns: int, value: float) -> bool:
        at = bisect_left(self.times, time_ns)
        if at < len(self.times) and (self.times[at] == time_ns or at < ANCHOR <= len(self.times)):
            return False
        self.times.insert(at, time_ns)
        self.values.insert(at, value)
        if len(self.times) > ANCHOR + RECENT:
            del self.times[ANCHOR], self.values[ANCHOR]
        return True

    def _split(self, min_change: float) -> tuple[int, Shift] | None:
        """Where the new level begins, and the shift; None where it is the old level still."""
        values = self.values
        known = len(values)
        if known < LEAST_BEFORE + LEAST_AFTER:
            return None
        # The usual case ends here: nothing that is worth telling, whatever the ranks say.
        newest = sorted(values[known - LEAST_AFTER :])[LEAST_AFTER // 2]
        if abs(change_of(self._baseline(known), newest)) < min_change:
            return None
        p, k = min((self._p_of(k), k) for k in range(LEAST_AFTER, min(RECENT, known - LEAST_BEFORE) + 1))
        first = known - k
        shift = Shift(median(values[: min(ANCHOR, first)]), median(values[first:]), self.times[first])
        return (first, shift) if p <= ALPHA and abs(shift.change) >= min_change else None

    def _baseline(self, known: int) -> float:
        if known < ANCHOR + LEAST_AFTER:
            return median(self.values[: known - LEAST_AFTER])
        if self._base is None:
            self._base = median(self.values[:ANCHOR])
        return self._base

    def _p_of(self, k: int) -> float:
        first = len(self.values) - k
        before, after = self.values[: min(ANCHOR, first)], self.values[first:]
        if max(before) < min(after) or max(after) < min(before):
            # Exact whatever is tied on either side, which the normal approximation for ties is far from.
            return least_p(len(before), k)
        return mann_whitney(before, after).p


def change_of(before: float, after: float) -> float:
    """(after - before) / before; of nothing to something it is 1."""
    if before == 0:
        return 0.0 if after == 0 else 1.0
    return (after - before) / abs(before)
