"""Medians, and their intervals by order statistics: no assumption about how the times are distributed.

Between the k-th smallest and the k-th largest of n independent values the true median lies with probability
1 − 2·P(B < k), B binomial (n, 1/2) (Conover, Practical Nonparametric Statistics, section 3.2).
"""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

CONFIDENCE = 0.95
P99_FROM = 100
"""A 99th percentile of fewer values is their maximum under another name."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds of a median, and the probability, 0 to 1, with which they hold it."""

    low: float
    high: float
    coverage: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The median of `n` values and its interval; None where n is too small for one."""

    median: float
    n: int
    interval: Interval | None

    @property
    def half_width_ratio(self) -> float | None:
        """Half the interval's width as a ratio of the median; None without an interval or with a median of zero."""
        if self.interval is None or self.median == 0:
            return None
        return (self.interval.high - self.interval.low) / 2 / abs(self.median)


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two middle ones. Raises ValueError for none."""
    if not values:
        raise ValueError("no values have no median")
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest value that at least `percent` % of them do not exceed.

    Raises ValueError for no values or a percentage outside 0 to 100.
    """
    if not values or not 0 <= percent <= 100:
        raise ValueError("a percentile takes values and a percentage from 0 to 100")
    rank = max(1, math.ceil(percent * len(values) / 100))
    return sorted(values)[rank - 1]


def p99(values: Sequence[float]) -> float | None:
    """The 99th percentile; None for fewer than 100 values."""
    return percentile(values, 99) if len(values) >= P99_FROM else None


def coverage(n: int, k: int) -> float:
    """The probability that the median lies between the k-th smallest and the k-th largest of n values."""
    return 1 - 2 * sum(islice(_binomials(n), k)) / (1 << n)


@functools.lru_cache(maxsize=64)
def median_ranks(n: int, confidence: float = CONFIDENCE) -> tuple[int, float] | None:
    """The largest k whose interval covers at least `confidence`, and its true coverage; None if n is too small."""
    total = 1 << n
    outside, k = 0, 0
    for term in islice(_binomials(n), n // 2):
        if 2 * (outside + term) / total > 1 - confidence:
            break
        outside += term
        k += 1
    return (k, 1 - 2 * outside / total) if k else None


def _binomials(n: int) -> Iterator[int]:
    """n over 0, n over 1, … n over n, each from the one before."""
    term = 1
    for i in range(n + 1):
        yield term
        term = term * (n - i) // (i + 1)


def summarise(values: Sequence[float]) -> Summary:
    """The median of `values` with its interval. Raises ValueError for none."""
    ranks = median_ranks(len(values))
    if ranks is None:
        return Summary(median(values), len(values), None)
    k, covered = ranks
    ordered = sorted(values)
    return Summary(median(ordered), len(ordered), Interval(ordered[k - 1], ordered[-k], covered))
