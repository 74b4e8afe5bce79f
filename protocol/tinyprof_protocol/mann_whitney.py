"""The Mann-Whitney U test: whether one of two samples tends to lie above the other. Pure; no distribution is assumed.

U is the number of pairs in which the first sample's value is the higher one, ties counted half. Without ties and with
at most `EXACT_UP_TO` values in each, p is exact, from the number of orders of the values in which U comes out so small
or smaller (Mann and Whitney, Annals of Mathematical Statistics 18, 1947). Else it is the normal approximation with the
variance corrected for ties and a continuity correction of one half (Hollander, Wolfe and Chicken, Nonparametric
Statistical Methods, section 4.1).
"""

import functools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

EXACT_UP_TO = 50


@dataclass(frozen=True, slots=True)
class MannWhitney:
    """`u` of the first sample, and the two-sided probability of a U as far from its middle as this, 0 to 1."""

    u: float
    p: float
    exact: bool


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> MannWhitney:
    """The test of two samples of finite numbers. Raises ValueError where one is empty."""
    if not first or not second:
        raise ValueError("a sample without values cannot be compared")
    n, m = len(first), len(second)
    counted = Counter([*first, *second])
    u = _rank_sum(first, counted) - n * (n + 1) / 2
    if len(counted) == n + m and max(n, m) <= EXACT_UP_TO:
        below = round(min(u, n * m - u))
        return MannWhitney(u, min(1.0, 2 * _orders_up_to(n, m, below) / math.comb(n + m, n)), exact=True)
    return MannWhitney(u, _normal_p(u, n, m, counted), exact=False)


def least_p(n: int, m: int) -> float:
    """The smallest two-sided p that samples of n and m values can give: all of one above all of the other."""
    return min(1.0, 2 / math.comb(n + m, n)) if n and m else 1.0


def _rank_sum(values: Sequence[float], counted: Counter[float]) -> float:
    """The sum of the ranks of `values` among all that are counted; equal values share the mean of their ranks."""
    ranks, below = {}, 0
    for value in sorted(counted):
        ranks[value] = below + (counted[value] + 1) / 2
        below += counted[value]
    return math.fsum(ranks[value] for value in values)


def _orders_up_to(n: int, m: int, u: int) -> int:
    """In how many of the orders of n and m different values U is at most `u`."""
    return sum(_orders(min(n, m), max(n, m))[: u + 1])


@functools.lru_cache(maxsize=64)
def _orders(n: int, m: int) -> tuple[int, ...]:
    """How many orders of n and m different values have U = 0, 1, … n·m: the coefficients of a Gaussian binomial."""
    size = n * m + 1
    orders = [1] + [0] * (size - 1)
    for i in range(1, n + 1):
        for u in range(size - 1, m + i - 1, -1):  # times 1 - q^(m+i)
            orders[u] -= orders[u - m - i]
        for u in range(i, size):  # by 1 - q^i
            orders[u] += orders[u - i]
    return tuple(orders)


def _normal_p(u: float, n: int, m: int, counted: Counter[float]) -> float:
    total = n + m
    ties = sum(times**3 - times for times in counted.values())
    variance = n * m / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    away = max(0.0, abs(u - n * m / 2) - 0.5)
    return math.erfc(away / math.sqrt(2 * variance))
